"""What the testee's processes hold besides their port: seen in processes.py, judged in level.py."""
