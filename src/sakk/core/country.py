"""Countries: the two letters of ISO 3166-1 for the names that sanctions lists call them by.

The table is ISO 3166-1's alpha-2 codes with their English short names, and beside each what OFAC,
the UN and the EU write instead. A name that is not here is no country, and says nothing.
"""

from functools import lru_cache
from typing import Final

# Code, then names; a code may have several lines, a name belongs to one code.
_TABLE = """
AD Andorra
AE United Arab Emirates|UAE
AF Afghanistan|Islamic Republic of Afghanistan
AG Antigua and Barbuda
AI Anguilla
AL Albania
AM Armenia
AO Angola
AQ Antarctica
AR Argentina
AS American Samoa
AT Austria
AU Australia
AW Aruba
AX Åland Islands
AZ Azerbaijan
BA Bosnia and Herzegovina|Bosnia-Herzegovina|Bosnia
BB Barbados
BD Bangladesh
BE Belgium
BF Burkina Faso
BG Bulgaria
BH Bahrain
BI Burundi
BJ Benin
BL Saint Barthélemy
BM Bermuda
BN Brunei|Brunei Darussalam
BO Bolivia|Plurinational State of Bolivia
BQ Bonaire, Sint Eustatius and Saba
BR Brazil
BS Bahamas|The Bahamas|Bahamas, The
BT Bhutan
BV Bouvet Island
BW Botswana
BY Belarus|Republic of Belarus
BZ Belize
CA Canada
CC Cocos (Keeling) Islands
CD Democratic Republic of the Congo|Congo, Democratic Republic of the|DR Congo|DRC
CF Central African Republic
CG Congo|Republic of the Congo|Congo, Republic of the
CH Switzerland
CI Côte d'Ivoire|Ivory Coast|Cote d Ivoire
CK Cook Islands
CL Chile
CM Cameroon
CN China|People's Republic of China|PRC
CO Colombia
CR Costa Rica
CU Cuba
CV Cabo Verde|Cape Verde
CW Curaçao
CX Christmas Island
CY Cyprus
CZ Czechia|Czech Republic
DE Germany|Federal Republic of Germany
DJ Djibouti
DK Denmark
DM Dominica
DO Dominican Republic
DZ Algeria
EC Ecuador
EE Estonia
EG Egypt|Arab Republic of Egypt
EH Western Sahara
ER Eritrea
ES Spain
ET Ethiopia
FI Finland
FJ Fiji
FK Falkland Islands
FM Micronesia|Federated States of Micronesia
FO Faroe Islands
FR France
GA Gabon
GB United Kingdom|Great Britain|UK|England|Scotland
GB United Kingdom of Great Britain and Northern Ireland
GD Grenada
GE Georgia
GF French Guiana
GG Guernsey
GH Ghana
GI Gibraltar
GL Greenland
GM Gambia|The Gambia|Gambia, The
GN Guinea
GP Guadeloupe
GQ Equatorial Guinea
GR Greece
GS South Georgia and the South Sandwich Islands
GT Guatemala
GU Guam
GW Guinea-Bissau
GY Guyana
HK Hong Kong|Hong Kong SAR|Hong Kong, China
HM Heard Island and McDonald Islands
HN Honduras
HR Croatia
HT Haiti
HU Hungary
ID Indonesia
IE Ireland
IL Israel
IM Isle of Man|Man, Isle of
IN India
IO British Indian Ocean Territory
IQ Iraq|Republic of Iraq
IR Iran|Iran, Islamic Republic of|Islamic Republic of Iran|Iran (Islamic Republic of)
IS Iceland
IT Italy
JE Jersey
JM Jamaica
JO Jordan
JP Japan
KE Kenya
KG Kyrgyzstan|Kyrgyz Republic
KH Cambodia
KI Kiribati
KM Comoros
KN Saint Kitts and Nevis|St. Kitts and Nevis
KP North Korea|Korea, North|DPRK|Democratic People's Republic of Korea
KP Democratic People’s Republic of Korea
KR South Korea|Korea, South|Republic of Korea
KW Kuwait
KY Cayman Islands
KZ Kazakhstan
LA Laos|Lao People's Democratic Republic
LB Lebanon
LC Saint Lucia|St. Lucia
LI Liechtenstein
LK Sri Lanka
LR Liberia
LS Lesotho
LT Lithuania
LU Luxembourg
LV Latvia
LY Libya|Libyan Arab Jamahiriya
MA Morocco
MC Monaco
MD Moldova|Republic of Moldova
ME Montenegro
MF Saint Martin
MG Madagascar
MH Marshall Islands
MK North Macedonia|Macedonia|North Macedonia, The Republic of
ML Mali
MM Myanmar|Burma
MN Mongolia
MO Macao|Macau
MP Northern Mariana Islands
MQ Martinique
MR Mauritania
MS Montserrat
MT Malta
MU Mauritius
MV Maldives
MW Malawi
MX Mexico
MY Malaysia
MZ Mozambique
NA Namibia
NC New Caledonia
NE Niger
NF Norfolk Island
NG Nigeria
NI Nicaragua
NL Netherlands|The Netherlands|Holland
NO Norway
NP Nepal
NR Nauru
NU Niue
NZ New Zealand
OM Oman
PA Panama
PE Peru
PF French Polynesia
PG Papua New Guinea
PH Philippines
PK Pakistan
PL Poland
PM Saint Pierre and Miquelon
PN Pitcairn
PR Puerto Rico
PS Palestine|Palestinian|State of Palestine|Palestinian Territories|West Bank|Gaza
PT Portugal
PW Palau
PY Paraguay
QA Qatar
RE Réunion
RO Romania
RS Serbia
RU Russia|Russian Federation
RW Rwanda
SA Saudi Arabia|Kingdom of Saudi Arabia
SB Solomon Islands
SC Seychelles
SD Sudan
SE Sweden
SG Singapore
SH Saint Helena
SI Slovenia
SJ Svalbard and Jan Mayen
SK Slovakia
SL Sierra Leone
SM San Marino
SN Senegal
SO Somalia
SR Suriname
SS South Sudan
ST Sao Tome and Principe
SV El Salvador
SX Sint Maarten
SY Syria|Syrian Arab Republic
SZ Eswatini|Swaziland
TC Turks and Caicos Islands
TD Chad
TF French Southern Territories
TG Togo
TH Thailand
TJ Tajikistan
TK Tokelau
TL Timor-Leste|East Timor
TM Turkmenistan
TN Tunisia
TO Tonga
TR Turkey|Türkiye|Turkiye
TT Trinidad and Tobago
TV Tuvalu
TW Taiwan|Taiwan, Province of China
TZ Tanzania|United Republic of Tanzania
UA Ukraine
UG Uganda
UM United States Minor Outlying Islands
US United States|United States of America|USA
UY Uruguay
UZ Uzbekistan
VA Vatican City|Holy See
VC Saint Vincent and the Grenadines|St. Vincent and the Grenadines
VE Venezuela|Bolivarian Republic of Venezuela
VG British Virgin Islands|Virgin Islands, British
VI United States Virgin Islands|Virgin Islands, U.S.
VN Vietnam|Viet Nam
VU Vanuatu
WF Wallis and Futuna
WS Samoa
XK Kosovo
YE Yemen|Republic of Yemen
YT Mayotte
ZA South Africa
ZM Zambia
ZW Zimbabwe
"""

_LINES = [(line[:2], line[3:].split("|")) for line in _TABLE.strip().splitlines()]
_KOSOVO = "XK"
# Officially assigned codes; user-assigned ones, such as XK, are no countries of the standard.
CODES: Final = frozenset(code for code, _ in _LINES if code != _KOSOVO)
_CODES = {name.casefold(): code for code, names in _LINES for name in names}


def is_country(code: str) -> bool:
    """Is this an officially assigned code, in capitals?"""
    return code in CODES


@lru_cache(maxsize=4096)
def country_code(text: str) -> str | None:
    """The two letters of a country that is given by them or by a name; None if it is none.

    Lists speak of Kosovo, and write XK.
    """
    word = " ".join(text.split())
    if word.upper() in CODES or word.upper() == _KOSOVO:
        return word.upper()
    return _CODES.get(word.casefold())
