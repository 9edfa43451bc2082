"""The report as one self-contained page: page.py lays it out, page.css and page.js are put into it."""
