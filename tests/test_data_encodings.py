"""Spreadsheets and text files in other encodings than UTF-8: what is certain, what is guessed and says so, what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.config.errors import WorkbenchError
from workbench.data.encodings import decode
from workbench.data.files import parse_rows
from workbench.data.formats import inspect_rows

CHINESE = {
    "a header and two words": "问题,回答\n你好,您好\n",
    "an answer with punctuation": "问题,回答\n怎么退货？,请在订单页点击“申请退货”，并填写原因。\n",
    "English headings": "instruction,output\n用一句话介绍北京,北京是中国的首都。\n",
    "mostly English": "prompt,completion\n" + "How are you?,I am fine\n" * 500 + "你是谁,我是你的助手\n",
    "traditional characters": "問題,回答\n你好嗎,我很好，謝謝\n",
}
OTHERS = {
    "cp1252": ("prompt,completion\ncafé,thé\n", "Windows-1252"),
    "latin-1": ("Frage,Antwort\nWie heißt das?,Das ist schöner Käse für Müller\n", "Windows-1252"),
    "cp1250": ("pytanie,odpowiedź\nJak się masz?,Dziękuję bardzo źle świąd\n", "Windows-1250"),
    "cp1251": ("вопрос,ответ\nКак дела?,Хорошо спасибо большое\n", "Windows-1251"),
    "cp949": ("질문,답변\n안녕하세요,반갑습니다 저는 학생입니다\n", "EUC-KR"),
    "shift_jis": ("質問,回答\nこんにちは,元気ですか今日は天気がいいです\n", "Shift-JIS"),
    "big5": ("問題,回答\n你好嗎,我很好謝謝\n", "Big5"),
}


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize("case", CHINESE)
def test_a_chinese_spreadsheet_is_read_with_certainty(case, encoding):
    assert decode(CHINESE[case].encode(encoding), "a.csv") == (CHINESE[case], [])


@pytest.mark.parametrize("encoding", OTHERS)
def test_another_encoding_is_guessed_and_the_guess_is_named(encoding):
    text, name = OTHERS[encoding]
    decoded, notes = decode(text.encode(encoding), "a.csv")
    assert decoded == text
    assert [note.code for note in notes] == ["encoding_guessed"]
    for lang in ("en", "zh"):
        assert name in notes[0].message.to(lang) and "UTF-8" in notes[0].message.to(lang)


@pytest.mark.parametrize("encoding", [*OTHERS][:6])
def test_in_unicode_no_language_is_guessed(encoding):
    text = OTHERS[encoding][0]
    for unicode in ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        assert decode(text.encode(unicode), "a.csv") == (text, [])


def test_a_guess_stands_among_the_problems_and_names_no_row():
    text = "prompt,completion\ncafé,thé\n"
    table = parse_rows(text.encode("cp1252"), "a.csv")
    found = inspect_rows(table.rows, table.notes)
    assert [(p["code"], p["rows"], p["left_out"]) for p in found.problems] == [("encoding_guessed", [], False)]
    assert found.examples[0]["messages"][0]["content"] == "café"


@pytest.mark.parametrize("tail", [b"caf\xe9", b"\xc3", b"\xff\xfe", "你好".encode()[:-1]])
def test_utf8_with_a_damaged_place_is_refused_with_its_line(tail):
    data = ("text\n" + "schöne Grüße, 你好\n" * 3).encode() + tail + b"\nmore\n"
    with pytest.raises(WorkbenchError) as caught:
        decode(data, "a.csv")
    assert caught.value.code == "encoding"
    assert "line 5" in caught.value.message.to("en") and "第 5 行" in caught.value.message.to("zh")
    assert "UTF-8" in caught.value.hint.to("zh")


def test_gb18030_with_a_damaged_place_is_refused_and_not_guessed():
    data = ("文本\n" + "这是一个很好的问题，我们可以回答。\n" * 9).encode("gb18030") + b"\xd6\n\xff\xff\n"
    with pytest.raises(WorkbenchError) as caught:
        decode(data, "a.txt")
    assert caught.value.code == "encoding" and "11" in caught.value.message.to("en")


def test_one_long_line_is_read_as_many_short_ones():
    text = "这是一个很好的问题，我们可以回答。" * 20_000
    assert decode(text.encode("gb18030"), "a.txt") == (text, [])


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_none_or_refused_with_a_sentence(data):
    try:
        decoded = decode(data, "a.txt")
    except WorkbenchError as error:
        assert error.code == "encoding" and error.to("en") and error.to("zh")
    else:
        assert decoded is None or isinstance(decoded[0], str)
