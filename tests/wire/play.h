/*
 * play.h - play a transcript at a server and compare what it answers, byte for byte.
 *
 * Threads: none; waits at most PEER_TIMEOUT_MS for each answer.
 */
#ifndef TESTS_WIRE_PLAY_H
#define TESTS_WIRE_PLAY_H

#include "tests/wire/peer.h"
#include "tests/wire/transcript.h"

#define PLAY_FAILURE_BYTES 4096u

struct play {
    const struct transcript *transcript;
    enum transcript_for whom; /* FOR_OURS or FOR_MEMCACHED: which of two answers is right */
    /* Each byte a write of its own; of a send of more than 4 KiB the first and last 512. */
    bool bytewise;
};

/**
 * play_transcript() - run all steps.
 * @failure: PLAY_FAILURE_BYTES; the first difference, with its line, where the answer is false.
 */
bool play_transcript(const struct play *play, struct peer *peer, char *failure)
    __attribute__((warn_unused_result));

#endif
