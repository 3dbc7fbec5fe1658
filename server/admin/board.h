/*
 * board.h - what the dashboard shows, as JSON (GET /api).
 *
 *   counters, cache_figures(), cache_map(), hot keys --> {"program":..., "count":{...}, "map":...}
 *
 * Counts only grow, and the page takes differences; so whoever asks, and how often, disturbs nobody
 * else who does. A restart shows as a count that fell.
 *
 * Threads: as metrics.h.
 */
#ifndef SERVER_ADMIN_BOARD_H
#define SERVER_ADMIN_BOARD_H

#include "server/admin/metrics.h"

/**
 * board_write() - all of it, to the end of @text: LIMITS_HTTP_REPLY_BYTES at the most.
 *
 * Keys, and how they begin, are told only where clients could list them too, without a password,
 * and no address asks them for a certificate.
 */
void board_write(const struct metrics_sources *sources, struct text *text);

#endif
