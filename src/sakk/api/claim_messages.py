"""What the claim page says, in the languages that it speaks.

A placeholder in braces is filled by the template, which escapes it. Chosen by Accept-Language
(RFC 9110 section 12.5.4): the quality first, then the order in which they are named.
"""

from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "en"
LANGUAGES_MAX: Final = 20

MESSAGES: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "title": "Refund",
        "from": "from {merchant}",
        "test": "Test money",
        "ask": "Say where this refund is to be sent.",
        "until": "This link is good once, until {time} UTC.",
        "network": "Network",
        "address": "Your address on that network",
        "address_help": "Copy it from your own wallet, or from the deposit page of your exchange. "
        "It must accept {currency} on the network that you choose.",
        "next": "Continue",
        "check": "Check every character",
        "check_help": "What is sent to a wrong address can not be brought back. "
        "After this step nobody but the operator can change it.",
        "confirm": "Send it to this address",
        "back": "Change the address",
        "given": "Thank you. The refund is being sent to this address.",
        "sent": "The refund has been sent to this address.",
        "transaction": "Transaction",
        "over": "This link can not be used any more. Ask the merchant about your refund.",
        "unknown": "There is no such refund. Check the link, or ask the merchant for a fresh one.",
        "busy": "Too many attempts, or we are busy. Try again in a minute.",
        "bad_network": "Choose one of the networks.",
        "bad_address": "This is not an address of that network: a character is missing or wrong. "
        "Copy it again.",
        "not_yours": "This address belongs to a token or to the payment service. "
        "Give an address of your own.",
    },
    "zh-Hans": {
        "title": "退款",
        "from": "来自 {merchant}",
        "test": "测试资金",
        "ask": "请填写接收这笔退款的地址。",
        "until": "此链接只能使用一次，有效期至 {time}（UTC）。",
        "network": "网络",
        "address": "您在该网络上的地址",
        "address_help": "请从您自己的钱包或交易所的充值页面复制。"
        "该地址必须能在所选网络上接收 {currency}。",
        "next": "继续",
        "check": "请逐字核对",
        "check_help": "发送到错误地址的资金无法追回。此步骤之后，只有运营方可以更改地址。",
        "confirm": "发送到此地址",
        "back": "修改地址",
        "given": "谢谢。退款正在发送到此地址。",
        "sent": "退款已发送到此地址。",
        "transaction": "交易",
        "over": "此链接已不能使用。请向商家查询您的退款。",
        "unknown": "没有这笔退款。请检查链接，或向商家索取新的链接。",
        "busy": "尝试次数过多或系统繁忙，请一分钟后再试。",
        "bad_network": "请选择其中一个网络。",
        "bad_address": "这不是该网络的地址：有字符缺失或错误。请重新复制。",
        "not_yours": "此地址属于代币合约或支付服务。请填写您自己的地址。",
    },
    "zh-Hant": {
        "title": "退款",
        "from": "來自 {merchant}",
        "test": "測試資金",
        "ask": "請填寫接收這筆退款的地址。",
        "until": "此連結只能使用一次，有效期至 {time}（UTC）。",
        "network": "網路",
        "address": "您在該網路上的地址",
        "address_help": "請從您自己的錢包或交易所的充值頁面複製。"
        "該地址必須能在所選網路上接收 {currency}。",
        "next": "繼續",
        "check": "請逐字核對",
        "check_help": "傳送到錯誤地址的資金無法追回。此步驟之後，只有營運方可以更改地址。",
        "confirm": "傳送到此地址",
        "back": "修改地址",
        "given": "謝謝。退款正在傳送到此地址。",
        "sent": "退款已傳送到此地址。",
        "transaction": "交易",
        "over": "此連結已不能使用。請向商家查詢您的退款。",
        "unknown": "沒有這筆退款。請檢查連結，或向商家索取新的連結。",
        "busy": "嘗試次數過多或系統繁忙，請一分鐘後再試。",
        "bad_network": "請選擇其中一個網路。",
        "bad_address": "這不是該網路的地址：有字元缺失或錯誤。請重新複製。",
        "not_yours": "此地址屬於代幣合約或支付服務。請填寫您自己的地址。",
    },
    "ar": {
        "title": "استرداد",
        "from": "من {merchant}",
        "test": "أموال تجريبية",
        "ask": "حدِّد العنوان الذي يُرسَل إليه هذا المبلغ.",
        "until": "هذا الرابط صالح لمرة واحدة، حتى {time} بالتوقيت العالمي.",
        "network": "الشبكة",
        "address": "عنوانك على تلك الشبكة",
        "address_help": "انسخه من محفظتك أو من صفحة الإيداع في منصة التداول. "
        "يجب أن يقبل {currency} على الشبكة التي تختارها.",
        "next": "متابعة",
        "check": "تحقَّق من كل حرف",
        "check_help": "ما يُرسَل إلى عنوان خاطئ لا يمكن استرجاعه. "
        "بعد هذه الخطوة لا يستطيع تغييره إلا المشغِّل.",
        "confirm": "الإرسال إلى هذا العنوان",
        "back": "تغيير العنوان",
        "given": "شكرًا. يجري إرسال المبلغ إلى هذا العنوان.",
        "sent": "أُرسِل المبلغ إلى هذا العنوان.",
        "transaction": "المعاملة",
        "over": "لم يعد هذا الرابط صالحًا. اسأل التاجر عن المبلغ المسترد.",
        "unknown": "لا يوجد استرداد بهذا الرابط. تحقَّق منه أو اطلب من التاجر رابطًا جديدًا.",
        "busy": "محاولات كثيرة، أو الخدمة مشغولة. حاول مجددًا بعد دقيقة.",
        "bad_network": "اختر إحدى الشبكات.",
        "bad_address": "هذا ليس عنوانًا على تلك الشبكة: حرف ناقص أو خاطئ. انسخه من جديد.",
        "not_yours": "هذا العنوان لرمز أو لخدمة الدفع. اكتب عنوانًا لك.",
    },
}
RIGHT_TO_LEFT: Final = frozenset({"ar"})
_TRADITIONAL: Final = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")


def choose_language(accept: str | None) -> str:
    """The best language of ours for an ``Accept-Language`` header; English without one."""
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate((accept or "").split(",")[:LANGUAGES_MAX]):
        tag, _, parameters = part.strip().partition(";")
        found = _ours(tag.strip().lower())
        quality = _quality(parameters)
        if found is not None and quality > 0:
            wanted.append((-quality, place, found))
    return min(wanted)[2] if wanted else DEFAULT


def _ours(tag: str) -> str | None:
    if tag.startswith(_TRADITIONAL):
        return "zh-Hant"
    match tag.partition("-")[0]:
        case "zh":
            return "zh-Hans"
        case "en" | "ar" as same:
            return same
        case _:
            return None


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0
