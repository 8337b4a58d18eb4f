"""The scripted model behind a real socket: for subprocesses, other languages, and load.

The same script, codecs and faults as in process; what is virtual time there is real time here.
"""
