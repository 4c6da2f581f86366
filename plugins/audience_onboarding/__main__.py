"""``python -m audience_onboarding``."""

from __future__ import annotations

from audience_onboarding.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
