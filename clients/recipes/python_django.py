"""Django, sessions and cache:  python_django.py HOST PORT HTTP_PORT

Debian: python3-django, python3-pymemcache. One file here; CACHES and SESSION_ENGINE are what a
project puts into its settings.py.
"""

import sys
from wsgiref.simple_server import make_server

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

host, port, http_port = sys.argv[1], sys.argv[2], int(sys.argv[3])

settings.configure(
    SECRET_KEY="a secret of your own",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    CACHES={"default": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": ["%s:%s" % (host, port)],
        "KEY_PREFIX": "django",
        "OPTIONS": {"connect_timeout": 1, "timeout": 2, "no_delay": True, "max_pool_size": 8,
                    "use_pooling": True},
    }},
    # "cached_db" keeps a copy in the database: a cache may lose a session, with cached_db none is.
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse("visit %d\n" % request.session["visits"])


urlpatterns = [path("", visit)]

make_server("127.0.0.1", http_port, get_wsgi_application()).serve_forever()
