"""The currencies that prices may be in."""

from collections.abc import Iterable

# The codes of ISO 4217 that are in use as money.
_LISTED = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS
    INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP
    MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
    SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND
    VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG
"""
_CODES = frozenset(_LISTED.split())


def check_currency(code: str) -> None:
    """Raises ``ValueError`` for what is no code of a currency."""
    if code not in _CODES:
        raise ValueError(f"currency must be a code of ISO 4217 such as USD, got {code[:32]!r}")


def check_one_currency(stated: Iterable[str], currency: str) -> None:
    """Raises ``ValueError`` if one of those stated is another one; an empty one states nothing."""
    for code in stated:
        if code and code != currency:
            check_currency(code)
            raise ValueError(f"currency must be the same for all prices, {currency}, got {code!r}")
