"""A recorded conference and its scenario: a real FreeSWITCH's events, and the API calls that go with them."""
