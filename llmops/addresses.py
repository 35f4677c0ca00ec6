"""Addresses as people are told of them: without the password that may stand in one."""

import re

_LOGIN = re.compile(r"//(?:[^/\s]*|[^/\s:@]*:[^\s]*)@")  # databases take a password with a slash in it, too


def without_password(text: str) -> str:
    """A text, such as a library's error, whose addresses have *** for user and password."""
    return _LOGIN.sub("//***@", text)
