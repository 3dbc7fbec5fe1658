/*
 * version.h - the memcached version whose behaviour this server has, told to clients.
 *
 * Threads: a constant.
 */
#ifndef SERVER_VERSION_H
#define SERVER_VERSION_H

/* Clients take it apart at the dots and decide by it what they may send; see server/README.md. */
#define VERSION_MEMCACHED "1.6.45"

#endif
