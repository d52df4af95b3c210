"""All planted bugs, by the mechanism that they break."""

from tools.planted_bugs.bug import Bug
from tools.planted_bugs.bugs.calls import CALLS
from tools.planted_bugs.bugs.keys import KEYS
from tools.planted_bugs.bugs.partners import PARTNERS
from tools.planted_bugs.bugs.relay import RELAY
from tools.planted_bugs.bugs.rules import RULES
from tools.planted_bugs.bugs.store import STORE
from tools.planted_bugs.bugs.trouble import TROUBLE

ALL: tuple[Bug, ...] = (*RULES, *STORE, *CALLS, *KEYS, *RELAY, *PARTNERS, *TROUBLE)
