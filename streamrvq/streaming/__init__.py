"""Streams of one codec: single ones, pools of many, and what all of them share. No asyncio, no wall clock."""
