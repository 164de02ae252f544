
// A served page is told by its server when there is a new one, and shows it where the reader is.
const live = document.getElementById("live");
const inTheDark = "no longer live: the server has ended, what is shown stays";
const renew = async (number) => {
  const answer = await fetch(location.pathname, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const open = new Set([...document.querySelectorAll("details[open] > summary")].map((box) => box.textContent));
  for (const box of fresh.querySelectorAll("details")) box.open = open.has(box.querySelector("summary").textContent);
  const top = scrollY;
  for (const part of ["title", "header", "nav", "main", "#texts"])
    document.querySelector(part).replaceWith(document.adoptNode(fresh.querySelector(part)));
  live.dataset.number = number;
  prepare();
  scrollTo(0, top);
};
const news = new EventSource(location.pathname + "events");
news.addEventListener("page", (event) => event.data !== live.dataset.number && renew(event.data));
news.addEventListener("status", (event) => (live.textContent = "live · " + event.data));
news.addEventListener("error", () => (live.textContent = inTheDark));
