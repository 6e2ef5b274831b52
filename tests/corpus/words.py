"""The words that generated mail is made of: sentences in several languages, each with the charsets that can carry it.

`sentence(rng, language)` gives text, `body(rng, language, octets)` about so many octets of it in lines.
"""

from __future__ import annotations

from random import Random

_WORDS: dict[str, str] = {
    "en": "the a meeting report invoice server mailbox list please find attached tomorrow Monday agenda patch review "
    "release draft budget numbers we you they should could have been moved changed agreed late early again question "
    "answer about with without before after number lunch room train garden kitchen letter weather holiday contract",
    "de": "der die das Übergabe Größe Straße für über können müssen würde schöne Grüße Anhang Rechnung Sitzung Montag "
    "morgen früh spät Entwurf Prüfung Änderung Büro Tür Schlüssel wir Ihnen bitte danke natürlich Äpfel",
    "fr": "réunion café élève été déjà où à naïve garçon très bientôt facture pièce jointe lundi matin français œuvre "
    "cœur prix 20 € 5 € hôtel forêt île nous vous avec sans",
    "pl": "zażółć gęślą jaźń źródło łódź święto książka dziękuję proszę załącznik faktura spotkanie jutro wcześnie "
    "późno żółty ćma",
    "ru": "привет встреча отчёт счёт сервер письмо список завтра понедельник вопрос ответ спасибо пожалуйста договор "
    "проект работа время город улица дом",
    "ja": "会議 報告 請求書 明日 月曜日 お世話になっております よろしくお願いします 資料 添付 確認 東京 大阪 "
    "テスト メール サーバ ありがとう ございます",
    "zh": "会议 报告 发票 明天 星期一 您好 谢谢 请 查收 附件 北京 上海 测试 邮件 服务器 问题 回答",
    "emoji": "🎉 party 🚂 train ☕ coffee 🐈 cat naïve 日本 Ω → ½ “quoted” – dash … ",
}

CHARSETS: dict[str, tuple[str, ...]] = {
    "en": ("us-ascii", "utf-8", "iso-8859-1"),
    "de": ("iso-8859-1", "utf-8", "iso-8859-15", "windows-1252"),
    "fr": ("iso-8859-15", "utf-8", "windows-1252"),
    "pl": ("iso-8859-2", "utf-8"),
    "ru": ("koi8-r", "utf-8", "windows-1251"),
    "ja": ("iso-2022-jp", "utf-8", "shift_jis", "euc-jp"),
    "zh": ("gb2312", "utf-8", "gbk"),
    "emoji": ("utf-8",),
}

NAMES = (
    "Ada Lovelace|Jürgen Groß|Zoë Ångström|Иван Петров|山田太郎|王小明|Łukasz Żak|O'Brien, Pat|Dr. K. Müller|"
    'Anne-Marie Lefèvre|Sam Vega|Mary Smith|Joe Q. Public|Giant; "Big" Box|Lee|Noël Œuvray'
).split("|")
DOMAINS = ("example.com", "example.org", "mail.example.net", "lists.example.org", "sub.dept.example.edu")
LISTS = ("users", "dev", "announce", "Gärtner", "maildir-format")

_LANGUAGES = ("en",) * 8 + ("de", "de", "fr", "pl", "ru", "ja", "zh", "emoji")
_VOCABULARY = {language: words.split() for language, words in _WORDS.items()}


def language_of(rng: Random) -> str:
    """One of the languages, English most often."""
    return rng.choice(_LANGUAGES)


def sentence(rng: Random, language: str, least: int = 2, most: int = 9) -> str:
    """A few words without a line end."""
    return " ".join(rng.choices(_VOCABULARY[language], k=rng.randint(least, most)))


def body(rng: Random, language: str, octets: int) -> str:
    """Lines of text, about `octets` long in characters, LF-ended; paragraphs, quotes and a signature among them.

    Longer texts repeat a page of 8 kB with a counter: what matters is that they are not one line over and over.
    """
    page: list[str] = []
    length = 0
    while length < min(octets, 8192):
        line = sentence(rng, language, 4, 12)
        roll = rng.random()
        if roll < 0.08:
            line = ""
        elif roll < 0.16:
            line = "> " + line
        elif roll < 0.18:
            line = "From " + line
        elif roll < 0.19:
            line = "." + line
        page.append(line)
        length += len(line) + 1
    if octets > length:
        lines = len(page)
        for number in range(octets // max(length, 1)):
            page.extend(f"{number}: {line}" for line in page[:lines])
    if rng.random() < 0.3:
        page += ["-- ", rng.choice(NAMES) if language != "en" else "Sam"]
    return "\n".join(page) + "\n"
