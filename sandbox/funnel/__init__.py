"""The funnel page of the sandbox: stands in for the public one, where a visitor fills in the BusOS assessment.

The fields have the names of the `christmas-signup` webhook. As the public page must, its server posts to the webhook
and keeps the secret to itself; what the webhook refuses is said to the visitor in words, and nothing typed is lost.
"""
