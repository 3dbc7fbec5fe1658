/*
 * server.h - the whole server in one object: set up in order, run, torn down in reverse.
 *
 *   cache --> counters, budget, stats --> network --> footprint --> threads --> signals
 *
 * Threads: the one that made it runs it, and is the one that accepts connections.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>

struct clock;
struct config;
struct log;
struct server;

/**
 * server_new() - everything there is, listening and serving.
 *
 * Errors: NULL - the log has said why; nothing of it is left.
 */
struct server *server_new(const struct config *config, struct clock *clock, struct log *log);
/** server_run() - until SIGINT, SIGTERM or SIGUSR1. False where the event loop failed. */
bool server_run(struct server *server);
void server_free(struct server *server);

#endif
