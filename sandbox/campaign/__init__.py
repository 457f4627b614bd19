"""A campaign that runs in the sandbox: stand-ins on its network, workers and webhooks deployed, everything registered.

By hand: `./hublab sandbox demo`. From a test::

    from sandbox import Sandbox, campaign

    running = campaign.start(Sandbox.up())
    key = running.enrol("signup", "delivered+ada@resend.dev")
    running.mails([key])
    running.down()
"""

from sandbox.campaign.core import Campaign
from sandbox.campaign.mails import Mail
from sandbox.campaign.setup import start

__all__ = ["Campaign", "Mail", "start"]
