"""Collects recurring payments and recovers failed ones; everything here is true without Temporal."""
