"""The one file that Airflow's plugin loader sees in this folder; see .airflowignore."""

from audience_onboarding.plugin import AudienceOnboardingPlugin

__all__ = ["AudienceOnboardingPlugin"]
