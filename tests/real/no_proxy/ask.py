"""Fetches each URL by requests; a line each: what the server said, or -."""
import sys

import requests

for url in sys.argv[1:]:
    try:
        print(requests.get(url, timeout=10).text)
    except requests.RequestException:
        print("-")
