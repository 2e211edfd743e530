"""Lock files: what an engine was built and verified with, and whether that is what is here."""

from trtforge.locking.drift import Drift, check_lock
from trtforge.locking.lock import Lock, LockedEngine, make_lock

__all__ = ["Drift", "Lock", "LockedEngine", "check_lock", "make_lock"]
