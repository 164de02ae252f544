"""Tables as spreadsheets save them: read, or the cell is named."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sweeper.audio.datasets import DatasetError
from sweeper.audio.datasets.tables import number, records, rows, truth, whole

COLUMNS = ("file", "fold", "class")
TABLE = "file,fold,class\na.wav,1,Hündin\nb.wav,10,cat\n"
EXPECTED = [{"file": "a.wav", "fold": "1", "class": "Hündin"}, {"file": "b.wav", "fold": "10", "class": "cat"}]


@pytest.fixture
def table(tmp_path):
    def write(content: str | bytes, encoding: str = "utf-8"):
        path = tmp_path / "t.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


def read(path, optional=()):
    return [row for _line, row in rows(path, COLUMNS, optional)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings(table, encoding):
    assert read(table(TABLE, encoding)) == EXPECTED
    with_mark = "\ufeff" + TABLE
    if encoding.startswith("utf-16-"):
        assert read(table(with_mark, encoding)) == EXPECTED


VARIANTS = {
    "semicolons": TABLE.replace(",", ";"),
    "tabs": TABLE.replace(",", "\t"),
    "bars": TABLE.replace(",", "|"),
    "CRLF": TABLE.replace("\n", "\r\n"),
    "CR": TABLE.replace("\n", "\r"),
    "no newline at the end": TABLE.rstrip(),
    "empty rows": "\n,,\n" + TABLE + ",,\n,,\n\n   \n",
    "empty rows between": TABLE.replace("b.wav", ",,\n\nb.wav"),
    "empty columns": TABLE.replace("\n", ",,,\n"),
    "a hint": "sep=;\n" + TABLE.replace(",", ";"),
    "a hint in quotes": '"sep=;"\r\n' + TABLE.replace(",", ";"),
    "quotes": '"file","fold","class"\n"a.wav","1","Hündin"\n"b.wav",10,cat\n',
    "spaces": " file , fold,class \n a.wav ,1 , Hündin\nb.wav,\t10,cat\u00a0\n",
    "case": TABLE.replace("file,fold,class", "FILE,Fold,cLaSS"),
    "another order": "class,file,fold\nHündin,a.wav,1\ncat,b.wav,10\n",
    "more columns": "id,class,file,fold,note\n1,Hündin,a.wav,1,x\n2,cat,b.wav,10,\n",
    "a comma in a field": 'file,note,fold,class\na.wav,"x, y",1,Hündin\nb.wav,"""z""",10,cat\n',
    "a newline in a field": 'file,note,fold,class\na.wav,"x\ny",1,Hündin\nb.wav,,10,cat\n',
    "a last column left out where it is empty": "file,fold,class,note\na.wav,1,Hündin\nb.wav,10,cat\n",
}


@pytest.mark.parametrize("name", VARIANTS)
def test_what_spreadsheets_make_of_a_table(table, name):
    assert read(table(VARIANTS[name])) == EXPECTED


BAD = {
    "empty": (b"", "no column 'file'; expected file, fold, class, found nothing"),
    "no header": (b"a.wav,1,dog\n", "no column 'file'; expected file, fold, class, found a.wav, 1, dog"),
    "a column missing": (b"file,class\na,b\n", "no column 'fold'; expected file, fold, class, found file, class"),
    "a column twice": (b"file,fold,FOLD,class\na,1,2,b\n", "2 columns are named 'fold'; keep one"),
    "cut short": (TABLE.encode()[:-5], "line 3: too few fields (2); is the file cut short?"),
    "a comma without quotes": (b"file,fold,class\na,1,b,c\n", "line 2: 4 fields where the header has 3; a field that"),
    "a quote left open": (b'file,fold,class\na.wav,1,"dog\nb.wav,1,cat\n', "line 3: not a csv table (unexpected end"),
    "an Excel file": (b"PK\x03\x04....", "a spreadsheet's own format, not a csv table; save it as CSV"),
    "an old Excel file": (b"\xd0\xcf\x11\xe0\xa1", "a spreadsheet's own format"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer, not a csv table"),
    "half of UTF-16": (TABLE.encode("utf-16")[:-1], "not a csv table ('utf-16"),
    "a formula that failed": (b"file,fold,class\na,1,b\nc,1,#REF!\n", "line 3: #REF! is a spreadsheet's error (column"),
    "a look-up that failed": (b"file,fold,class\n#N/A,1,b\n", "(column 'file'); correct the cell"),
    "LibreOffice's": (b"file,fold,class\na,Err:502,b\n", "line 2: Err:502 is a spreadsheet's error (column 'fold')"),
    "nothing cp1252 has": (b"file,fold,class\na\x81\xff,1,b\n", "not a csv table ('charmap"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_names_the_place_and_the_remedy(table, name):
    content, reason = BAD[name]
    path = table(content)
    with pytest.raises(DatasetError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_cannot_be_read(tmp_path):
    with pytest.raises(DatasetError, match="a folder, and should be a csv table; move it away"):
        read(tmp_path)


def test_optional_columns(table):
    assert read(table(TABLE), ("group",)) == EXPECTED
    assert read(table("group,file,fold,class\ng,a,1,b\n,a,1,b\n"), ("group",))[1]["group"] == ""


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("10.0", 10), ("10,00", 10), ("+3.", 3), ("0", 0)])
def test_numbers(text, value):
    assert number(text, "t.csv, line 2", "fold", range(11)) == value


@pytest.mark.parametrize(
    ("text", "reason"), [("", "'' is not a number"), ("1.5", "'1.5' is not"), ("11.0", "11 is not in 0 to 10")]
)
def test_what_is_no_number(text, reason):
    with pytest.raises(DatasetError, match=rf"t\.csv, line 2: {reason}.*\(column 'fold'\); (write 0 to 10|correct it)"):
        number(text, "t.csv, line 2", "fold", range(11))


def test_truth_and_ids():
    assert [truth(t, "", "x") for t in ("TRUE", "True", "1", "1.0", "yes", "FALSE", "0", "0,0", "no")] == [True] * 5 + [
        False
    ] * 4
    with pytest.raises(DatasetError, match=r"t\.csv, line 2: 'WAHR' is neither True nor False \(column 'esc10'\)"):
        truth("WAHR", "t.csv, line 2", "esc10")
    assert [whole(t) for t in ("100.0", "100,00", "1e5", "a.0", "")] == ["100", "100", "1e5", "a.0", ""]


def test_of_columns_of_a_parquet_file_the_one_that_is_written_alike_counts(tmp_path):
    def parquet(*names):
        path = tmp_path / "t.parquet"
        columns = [pa.array(["a.wav"]), pa.array([1]), *(pa.array([str(i)]) for i in range(len(names)))]
        pq.write_table(pa.Table.from_arrays(columns, names=["file", "Fold ", *names]), path)
        return path

    def found(path):
        return [row for _where, row in records(path, COLUMNS)]

    assert found(parquet("Class", "class")) == [{"file": "a.wav", "fold": "1", "class": "1"}]
    assert found(parquet("class", "Class")) == [{"file": "a.wav", "fold": "1", "class": "0"}]
    assert found(parquet("CLASS"))[0]["class"] == "0"
    for names in (("class", "class"), ("Class", "CLASS")):
        with pytest.raises(DatasetError, match="2 columns are named 'class'; keep one"):
            found(parquet(*names))


def test_pandas_own_export_is_read(table):
    import pandas as pd

    frame = pd.DataFrame(EXPECTED).assign(fold=[1.0, 10.0])
    buffer = io.StringIO()
    frame.to_csv(buffer, sep=";", decimal=",", quoting=2)
    assert [row["fold"] for row in read(table(buffer.getvalue()))] == ["1,0", "10,0"]


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("1,0", "1"),
        ("1.", "1"),
        ("1.00", "1"),
        ("-2,00", "-2"),
        ("1,000", "1,000"),
        ("12,000", "12,000"),
        ("1,0000", "1"),
        ("a1", "a1"),
    ],
)
def test_a_thousand_is_not_one(written, read_as):
    assert whole(written) == read_as
