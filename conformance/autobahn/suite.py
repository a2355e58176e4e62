"""The Autobahn test suite itself (Python 2.7), kept on loopback.

    python2.7 suite.py SITE list              print the id of every case
    python2.7 suite.py SITE fuzzingclient SPEC
    python2.7 suite.py SITE fuzzingserver SPEC
"""
import site
import sys

site.addsitedir(sys.argv[1])
from autobahntestsuite import case, fuzzing, wstest  # noqa: E402

if sys.argv[2] == "list":
    for cls in case.Cases:
        sys.stdout.write(cls.__name__[len("Case"):].replace("_", ".") + "\n")
else:
    # The suite would listen on every interface, and serve its reports on port 8080 (-u 0 turns that off).
    listen = fuzzing.listenWS
    fuzzing.listenWS = lambda factory, tls=None: listen(factory, tls, interface="127.0.0.1")
    sys.argv = ["wstest", "-m", sys.argv[2], "-s", sys.argv[3], "-u", "0"]
    wstest.run()
