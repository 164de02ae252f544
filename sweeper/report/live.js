
// A served page asks its server what is new, and shows it where the reader is.
const renew = async () => {
  const answer = await fetch(location.pathname, { cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const open = new Set([...document.querySelectorAll("details[open] > summary")].map((box) => box.textContent));
  for (const box of fresh.querySelectorAll("details"))
    box.open = box.open || open.has(box.querySelector("summary").textContent);
  const top = scrollY;
  for (const part of ["title", "header", "nav", "main", "#texts"]) {
    const [old, now] = [document, fresh].map((side) => side.querySelector(part));
    if (old && now) old.replaceWith(document.adoptNode(now));
  }
  prepare();
  scrollTo(0, top);
};
const news = new EventSource(location.pathname + "events");
const said = (text) => (document.getElementById("live").textContent = text);
news.addEventListener("open", () => said("live"));
news.addEventListener("changed", renew);
news.addEventListener("status", (event) => said("live · " + event.data));
news.addEventListener("error", () => said("no longer live: the server has ended; what is shown stays"));
