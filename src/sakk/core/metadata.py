"""Metadata: what a caller writes on an object for itself; limits as Stripe's."""

from collections.abc import Mapping

from sakk.core.errors import ParameterInvalid

KEYS_MAX = 50
KEY_LENGTH_MAX = 40
VALUE_LENGTH_MAX = 500


def merge(current: Mapping[str, str], changes: Mapping[str, str | None] | None) -> dict[str, str]:
    """Apply an update: ``None`` or an empty value removes a key, ``None`` as a whole removes all.

    Raises ParameterInvalid (``metadata``) beyond 50 keys, 40 characters of key or 500 of value.
    """
    if changes is None:
        return {}
    merged = dict(current)
    for key, value in changes.items():
        if not 1 <= len(key) <= KEY_LENGTH_MAX or "[" in key or "]" in key:
            raise ParameterInvalid(
                "metadata keys have 1 to {key_length_max} characters and no square brackets.",
                param="metadata",
                key_length_max=KEY_LENGTH_MAX,
            )
        if value is None or value == "":
            merged.pop(key, None)
        elif len(value) > VALUE_LENGTH_MAX:
            raise ParameterInvalid(
                "metadata values have at most {value_length_max} characters.",
                param=f"metadata[{key}]",
                value_length_max=VALUE_LENGTH_MAX,
            )
        else:
            merged[key] = value
    if len(merged) > KEYS_MAX:
        raise ParameterInvalid(
            "metadata has at most {keys_max} keys.", param="metadata", keys_max=KEYS_MAX
        )
    return merged
