"""The text in the bytes of a data file, whatever it was saved as.

UTF-8, UTF-16 and UTF-32 are told with certainty, and GB18030 (what a Chinese Excel saves) from the characters that come
out. Any other encoding is a guess of charset-normalizer's, and `decode` says so. A file that is UTF-8 but for a few bytes
is damaged, not in another encoding: it is refused with the line.
"""

from __future__ import annotations

import io
from typing import NoReturn

from workbench.config.text import Text, count_chinese
from workbench.data.limits import FileNote, refuse

_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
_SAMPLE = 64 * 1024  # bytes of lines in another encoding that are looked at
# What spreadsheets are saved as; a guess among everything that there is would mostly be a rare one.
_GUESSES = {
    "cp1252": "Windows-1252",
    "gb18030": "GB18030",
    "big5": "Big5",
    "cp932": "Shift-JIS",
    "cp949": "EUC-KR",
    "cp1251": "Windows-1251",
    "cp1250": "Windows-1250",
    "euc_jp": "EUC-JP",
    "koi8_r": "KOI8-R",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
}
# A third of the characters of any Chinese text, and more than half of most; of other languages' bytes read as GB18030
# they are a tenth at most.
_FREQUENT = frozenset(
    "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生自会那后能对着事其里所去行过家十用发天如"
    "然作方成者多日都三小军二无同么经法当起与好看学进种将还分此心前面又定见只主没公从问题回答您什请谢样意思怎哪吗呢吧很给高兴"
    "关开文本内容标签类别指令输入出提示系统答案名称类型类价格号数据电话信息使用户客服务产品现在知识点机器模型正确选择需求应该"
    "可能因果理由工程部门负责位置时间地点城市中国北京上海新老师学生朋友今明早晚好再见欢迎你们我们它她水火山石田土木金目耳手足"
)
_SURE_SHARE, _LIKELY_SHARE = 0.35, 0.15
_SAVE_AS_UTF8 = Text(
    'Open it in a text editor and save it again with the encoding "UTF-8"; in Excel: Save as, "CSV UTF-8".',
    "请用文本编辑器打开并以 UTF-8 编码重新保存；在 Excel 中请“另存为”，类型选择“CSV UTF-8（逗号分隔）”。",
)


def decode(data: bytes, name: str) -> tuple[str, list[FileNote]] | None:
    """The text of a file called `name`, with a note where its encoding was guessed; None when it is no text.

    Raises:
        WorkbenchError: (`encoding`) it is damaged, or in an encoding that cannot be told.
    """
    encoding = next((encoding for mark, encoding in _MARKS.items() if data.startswith(mark)), None)
    if encoding is None and b"\x00" in data:
        encoding = _utf16_without_mark(data)
        if encoding is None:
            return None
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        sample = _beyond_ascii(data)
        if encoding is None and not _mostly_utf8(sample):
            return _decode_other(data, name, sample, error)
        _refuse_encoding(data, name, error)
    # A mark that stands in front of other than text: every second character of such a file would be rubbish.
    return None if "\x00" in text else (text, [])


def _utf16_without_mark(data: bytes) -> str | None:
    """UTF-16 whose mark is missing: read the right way round its line breaks are such, and all letters are letters."""
    if len(data) % 2:
        return None
    low, high = data[0::2].count(0), data[1::2].count(0)
    order = ("utf-16-le", "utf-16-be") if high >= low else ("utf-16-be", "utf-16-le")
    for encoding in order:
        start = data[:_SAMPLE].decode(encoding, errors="ignore")
        if "\n" in start and all(letter.isprintable() or letter in "\t\r\n" for letter in start):
            return encoding
    return None


def _mostly_utf8(sample: bytes) -> bool:
    """Whether more of the characters beyond ASCII are right in UTF-8 than wrong."""
    text = sample.decode("utf-8", errors="replace")
    wrong = text.count("\ufffd")
    return sum(not letter.isascii() for letter in text) > 2 * wrong


def _decode_other(data: bytes, name: str, sample: bytes, error: UnicodeDecodeError) -> tuple[str, list[FileNote]]:
    """The text of a file that is in none of Unicode's encodings."""
    share = _chinese_share(sample)
    if share >= _SURE_SHARE:
        try:
            return data.decode("gb18030"), []
        except UnicodeDecodeError as damage:
            _refuse_encoding(data, name, damage)
    for encoding in ["gb18030"] * (share >= _LIKELY_SHARE) + _guesses(sample):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        guessed = Text(
            "The encoding of the file is not UTF-8; it was read as {encoding}, which is a guess. Look at the rows: where "
            "letters are wrong, save the file again as UTF-8",
            "文件编码不是 UTF-8，已按猜测的 {encoding} 读取。请查看样本，如有乱码，请将文件重新保存为 UTF-8",
        ).with_(encoding=_GUESSES[encoding])
        return text, [FileNote("encoding_guessed", guessed)]
    _refuse_encoding(data, name, error)


def _beyond_ascii(data: bytes) -> bytes:
    """The first lines that are not ASCII. A long one ends at a space, comma, quote or line break.

    These are never the second half of a character, whatever the encoding.
    """
    lines, size = [], 0
    for line in io.BytesIO(data):
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > _SAMPLE:
                break
    sample = b"".join(lines)
    if len(sample) <= _SAMPLE:
        return sample
    end = max(sample.rfind(mark, 0, _SAMPLE) for mark in (b" ", b",", b'"', b"\n")) + 1
    return sample[: end or _SAMPLE]


def _chinese_share(sample: bytes) -> float:
    """How many of the Chinese characters that come out of GB18030 are frequent ones; 0 where other things come out."""
    beyond = [letter for letter in sample.decode("gb18030", errors="replace") if not letter.isascii()]
    chinese = [letter for letter in beyond if count_chinese(letter)]
    marks = sum(letter in "，。、；：？！“”‘’（）《》【】—…·～￥" for letter in beyond)
    if not chinese or len(chinese) + marks < 0.9 * len(beyond):
        return 0.0
    return sum(letter in _FREQUENT for letter in chinese) / len(chinese)


def _guesses(sample: bytes) -> list[str]:
    """Encodings that the bytes may be in, the likeliest first."""
    from charset_normalizer import from_bytes

    found = [match.encoding for match in from_bytes(sample, cp_isolation=[*_GUESSES])]
    # Of the two for Latin letters the western one is by far the more common, and most short texts fit both.
    if found[:1] == ["cp1250"] and ("cp1252" in found or _same(sample, "cp1250", "cp1252")):
        found = ["cp1252", *(encoding for encoding in found if encoding != "cp1252")]
    return found


def _same(sample: bytes, *encodings: str) -> bool:
    return len({sample.decode(encoding, errors="replace") for encoding in encodings}) == 1


def _refuse_encoding(data: bytes, name: str, error: UnicodeDecodeError) -> NoReturn:
    refuse(
        Text("line {line} of {file}: the text is not in UTF-8", "文件 {file} 第 {line} 行：文本不是 UTF-8 编码"),
        _SAVE_AS_UTF8,
        file=name,
        line=data.count(b"\n", 0, error.start) + 1,
        code="encoding",
    )
