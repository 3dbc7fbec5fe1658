/*
 * parse_test.c - bytes to requests: a table of what each line means, one case a row, and the same
 * bytes cut at every place.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/parse.h"
#include "tests/protocol/parse_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX 1024u
#define BAD             "CLIENT_ERROR bad command line format"
#define BAD_EXPTIME     "CLIENT_ERROR invalid exptime argument"
#define BAD_DELTA       "CLIENT_ERROR invalid numeric delta argument"
#define USAGE           BAD ".  Usage: delete <key> [noreply]"

#define K10(c)          c c c c c c c c c c
#define K50(c)          K10(c) K10(c) K10(c) K10(c) K10(c)
#define K250(c)         K50(c) K50(c) K50(c) K50(c) K50(c)
#define KEY250          K250("k")
#define KEY251          KEY250 "k"
#define BASE64_248      K50("QUFB") K10("QUFB") "QUFBQUFB"

struct row {
    const char *rule; /* of protocol/README.md */
    const char *input;
    size_t count;
    const char *answer;
};

#define ROW(rule, input, answer)               \
    {                                          \
        rule, input, sizeof(input) - 1, answer \
    }

static const struct row rows[] = {
    /* Each command, plainly. */
    ROW("COMMAND get", "get k\r\n", "REQUEST 7 get keys=k"),
    ROW("COMMAND get many", "get a bb  a ccc\r\n", "REQUEST 17 get keys=a bb  a ccc"),
    ROW("COMMAND gets", "gets a b\r\n", "REQUEST 10 gets keys=a b"),
    ROW("COMMAND gat", "gat 60 a b\r\n", "REQUEST 12 gat keys=a b exptime=60"),
    ROW("COMMAND gat negative", "gat -1 a\r\n", "REQUEST 10 gat keys=a exptime=-1"),
    ROW("COMMAND gats", "gats 0 a\r\n", "REQUEST 10 gats keys=a"),
    ROW("COMMAND set", "set k 1 2 5\r\nhello\r\n",
        "REQUEST 20 set key=k flags=1 exptime=2 value=hello"),
    ROW("COMMAND set noreply", "set k 0 0 1 noreply\r\nx\r\n",
        "REQUEST 24 set noreply key=k value=x"),
    ROW("COMMAND set empty", "set k 0 0 0\r\n\r\n", "REQUEST 15 set key=k value="),
    ROW("COMMAND add", "add k 0 0 1\r\nx\r\n", "REQUEST 16 add key=k value=x"),
    ROW("COMMAND replace", "replace k 0 -1 1\r\nx\r\n",
        "REQUEST 21 replace key=k exptime=-1 value=x"),
    ROW("COMMAND append", "append k 0 0 1\r\nx\r\n", "REQUEST 19 append key=k value=x"),
    ROW("COMMAND prepend", "prepend k 0 0 1\r\nx\r\n", "REQUEST 20 prepend key=k value=x"),
    ROW("COMMAND cas", "cas k 3 4 1 77\r\nx\r\n",
        "REQUEST 19 cas key=k flags=3 exptime=4 cas=77 value=x"),
    ROW("COMMAND cas noreply", "cas k 0 0 1 7 noreply\r\nx\r\n",
        "REQUEST 26 cas noreply key=k cas=7 value=x"),
    ROW("COMMAND delete", "delete k\r\n", "REQUEST 10 delete key=k"),
    ROW("COMMAND delete noreply", "delete k noreply\r\n", "REQUEST 18 delete noreply key=k"),
    ROW("COMMAND delete 0", "delete k 0\r\n", "REQUEST 12 delete key=k"),
    ROW("COMMAND delete 0 noreply", "delete k 0 noreply\r\n", "REQUEST 20 delete noreply key=k"),
    ROW("COMMAND incr", "incr k 5\r\n", "REQUEST 10 incr key=k delta=5"),
    ROW("COMMAND incr noreply", "incr k 5 noreply\r\n", "REQUEST 18 incr noreply key=k delta=5"),
    ROW("COMMAND decr", "decr k 1\r\n", "REQUEST 10 decr key=k delta=1"),
    ROW("COMMAND touch", "touch k 9\r\n", "REQUEST 11 touch key=k exptime=9"),
    ROW("COMMAND touch noreply", "touch k -1 noreply\r\n",
        "REQUEST 20 touch noreply key=k exptime=-1"),
    ROW("COMMAND flush_all", "flush_all\r\n", "REQUEST 11 flush_all"),
    ROW("COMMAND flush_all delay", "flush_all 10\r\n", "REQUEST 14 flush_all exptime=10"),
    ROW("COMMAND flush_all past", "flush_all -5\r\n", "REQUEST 14 flush_all exptime=-5"),
    ROW("COMMAND flush_all noreply", "flush_all noreply\r\n", "REQUEST 19 flush_all noreply"),
    ROW("COMMAND flush_all both", "flush_all 3 noreply\r\n",
        "REQUEST 21 flush_all noreply exptime=3"),
    ROW("COMMAND stats", "stats\r\n", "REQUEST 7 stats"),
    ROW("COMMAND stats argument", "stats  detail  on \r\n", "REQUEST 20 stats argument=detail  on"),
    ROW("COMMAND version", "version\r\n", "REQUEST 9 version"),
    ROW("COMMAND version argument", "version noreply\r\n", "REQUEST 17 version argument=noreply"),
    ROW("COMMAND verbosity", "verbosity 1\r\n", "REQUEST 13 verbosity delta=1"),
    ROW("COMMAND verbosity noreply", "verbosity 2 noreply\r\n",
        "REQUEST 21 verbosity noreply delta=2"),
    ROW("COMMAND quit", "quit\r\n", "REQUEST 6 quit"),
    ROW("COMMAND quit argument", "quit now\r\n", "REQUEST 10 quit argument=now"),
    ROW("COMMAND shutdown", "shutdown\r\n", "REQUEST 10 shutdown"),
    ROW("COMMAND shutdown graceful", "shutdown graceful\r\n",
        "REQUEST 19 shutdown argument=graceful"),
    ROW("COMMAND watch", "watch\r\n", "REQUEST 7 watch"),
    ROW("COMMAND watch kinds", "watch  fetchers  m \r\n", "REQUEST 21 watch argument=fetchers  m"),
    ROW("COMMAND watch noreply", "watch noreply\r\n", "REQUEST 15 watch argument=noreply"),
    ROW("COMMAND refresh_certs", "refresh_certs\r\n", "REQUEST 15 refresh_certs"),
    ROW("COMMAND cache_memlimit", "cache_memlimit 64\r\n", "REQUEST 19 cache_memlimit delta=64"),
    ROW("COMMAND cache_memlimit noreply", "cache_memlimit 64 noreply\r\n",
        "REQUEST 27 cache_memlimit noreply delta=64"),

    ROW("FRAME-1 bare newline", "get lf\n", "REQUEST 7 get keys=lf"),
    ROW("FRAME-1 one return is the terminator's", "get k\r\r\n", "REQUEST 8 get keys=k\\x0d"),
    ROW("FRAME-1 bare newline before data", "set k 0 0 1\nx\r\n", "REQUEST 15 set key=k value=x"),
    ROW("FRAME-1 return inside", "get a\rb\n", "REQUEST 8 get keys=a\\x0db"),
    ROW("FRAME-1 not yet", "get k\r", "MORE 0"),
    ROW("FRAME-1 first line only", "get a\r\nget b\r\n", "REQUEST 7 get keys=a"),

    ROW("FRAME-2 runs of spaces", "set   k  1   2  1   noreply  \r\nx\r\n",
        "REQUEST 34 set noreply key=k flags=1 exptime=2 value=x"),
    ROW("FRAME-2 tab is a key byte", "get a\tb\r\n", "REQUEST 9 get keys=a\\x09b"),
    ROW("FRAME-2 tab does not end the word", "get\tk\r\n", "ERROR 7 ERROR"),
    ROW("FRAME-2 NUL in a key", "delete a\0b\r\n", "REQUEST 12 delete key=a\\x00b"),
    ROW("FRAME-2 NUL behind the word", "get\0 k\r\n", "ERROR 8 ERROR"),
    ROW("FRAME-2 high bytes in a key", "get \xff\x80\x7f\r\n",
        "REQUEST 9 get keys=\\xff\\x80\\x7f"),
    ROW("FRAME-2 any byte in a value", "set k 0 0 4\r\n\0\n\r\xff\r\n",
        "REQUEST 19 set key=k value=\\x00\\x0a\\x0d\\xff"),

    ROW("FRAME-3 upper case", "GET k\r\n", "ERROR 7 ERROR"),
    ROW("FRAME-3 mixed case", "Set k 0 0 1\r\n", "ERROR 13 ERROR"),
    ROW("FRAME-3 leading space", " get k\r\n", "ERROR 8 ERROR"),
    ROW("FRAME-3 longer word", "getx k\r\n", "ERROR 8 ERROR"),
    ROW("FRAME-3 longer word of eight", "shutdownx\r\n", "ERROR 11 ERROR"),
    ROW("FRAME-3 shorter word", "flush_al\r\n", "ERROR 10 ERROR"),
    ROW("FRAME-3 same first eight", "flush_alx\r\n", "ERROR 11 ERROR"),
    ROW("FRAME-3 same length and head", "verbositx 1\r\n", "ERROR 13 ERROR"),
    ROW("FRAME-3 unknown noreply is answered", "foo noreply\r\n", "ERROR 13 ERROR"),
    ROW("FRAME-3 binary magic is text", "\x80\0\0\1\0\0\0\0\0\0\0\1\r\n", "ERROR 14 ERROR"),
    ROW("FRAME-3 HTTP request", "GET / HTTP/1.1\r\n", "CLOSE"),
    ROW("FRAME-3 HTTP on any unknown word", "a b c d HTTP/x  \n", "CLOSE"),
    ROW("FRAME-3 HTTP alone", "HTTP/\r\n", "CLOSE"),
    ROW("FRAME-3 HTTP not last", "a HTTP/1.0 b\r\n", "ERROR 14 ERROR"),
    ROW("FRAME-3 HTTP cut short", "a HTTP\r\n", "ERROR 8 ERROR"),
    ROW("FRAME-3 HTTP behind a known word", "get HTTP/1.0\r\n", "REQUEST 14 get keys=HTTP/1.0"),

    ROW("FRAME-4 empty line", "\r\n", "ERROR 2 " BAD),
    ROW("FRAME-4 bare newline alone", "\n", "ERROR 1 " BAD),
    ROW("FRAME-4 one byte", "x\r\n", "ERROR 3 " BAD),
    ROW("FRAME-4 two bytes", "mx\n", "ERROR 3 " BAD),
    ROW("FRAME-4 space", " \n", "ERROR 2 " BAD),
    ROW("FRAME-4 four bytes are enough", "xy\r\n", "ERROR 4 ERROR"),
    ROW("FRAME-4 get without key", "get\r\n", "ERROR 5 " BAD),
    ROW("FRAME-4 get with spaces alone", "get   \r\n", "ERROR 8 " BAD),
    ROW("FRAME-4 gets without key", "gets\r\n", "ERROR 6 " BAD),
    ROW("FRAME-4 gat alone", "gat\r\n", "ERROR 5 " BAD),
    ROW("FRAME-4 gat without key", "gat 5 \r\n", "ERROR 8 " BAD),
    ROW("FRAME-4 set without bytes", "set k 0 0\r\n", "ERROR 11 " BAD),
    ROW("FRAME-4 set alone", "set\r\n", "ERROR 5 " BAD),
    ROW("FRAME-4 noreply is not heeded there", "set k noreply\r\n", "ERROR 15 " BAD),
    ROW("FRAME-4 delete alone", "delete\r\n", "ERROR 8 " BAD),
    ROW("FRAME-4 incr without delta", "incr k\r\n", "ERROR 8 " BAD),
    ROW("FRAME-4 touch without exptime", "touch k\r\n", "ERROR 9 " BAD),
    ROW("FRAME-4 verbosity alone", "verbosity\r\n", "ERROR 11 " BAD),
    ROW("FRAME-4 cache_memlimit alone", "cache_memlimit\r\n", "ERROR 16 ERROR"),
    ROW("FRAME-4 surplus ignored by set", "set k 0 0 1 a b\r\nx\r\n",
        "REQUEST 20 set key=k value=x"),
    ROW("FRAME-4 surplus ignored by incr", "incr k 1 2 3\r\n", "REQUEST 14 incr key=k delta=1"),
    ROW("FRAME-4 surplus of flush_all", "flush_all 1 2 3\r\n", "ERROR 17 ERROR"),
    ROW("FRAME-4 surplus of cache_memlimit", "cache_memlimit 1 2 3\r\n", "ERROR 22 ERROR"),
    ROW("FRAME-4 surplus of delete", "delete a b\r\n", "ERROR 12 " USAGE),
    ROW("FRAME-4 delete with a delay", "delete a 10\r\n", "ERROR 13 " USAGE),
    ROW("FRAME-4 delete with two zeros", "delete a 0 0\r\n", "ERROR 14 " USAGE),
    ROW("FRAME-4 delete with 00", "delete a 00\r\n", "ERROR 13 " USAGE),
    ROW("FRAME-4 delete noreply 0", "delete a noreply 0\r\n", "ERROR 20 " USAGE),
    ROW("FRAME-4 delete noreply noreply", "delete a noreply noreply\r\n", "ERROR 26 (silent)"),

    ROW("FRAME-5 key of 250 bytes", "delete " KEY250 "\r\n", "REQUEST 259 delete key=" KEY250),
    ROW("FRAME-5 key of 251 bytes", "delete " KEY251 "\r\n", "ERROR 260 " BAD),
    ROW("FRAME-5 get of 250 bytes", "get " KEY250 "\r\n", "REQUEST 256 get keys=" KEY250),
    ROW("FRAME-5 get of 251 bytes", "get " KEY251 "\r\n", "ERROR 257 " BAD),
    ROW("FRAME-5 a bad key among good ones", "get a b " KEY251 " c\r\n", "ERROR 263 " BAD),
    ROW("FRAME-5 a bad key last", "gets a " KEY251 "\n", "ERROR 259 " BAD),
    ROW("FRAME-5 gat", "gat 1 a " KEY251 "\n", "ERROR 260 " BAD),
    ROW("FRAME-5 exptime before the key in gat", "gat x " KEY251 "\n", "ERROR 258 " BAD_EXPTIME),
    ROW("FRAME-5 incr: the key before the delta", "incr " KEY251 " x\r\n", "ERROR 260 " BAD),
    ROW("FRAME-5 touch: the key before the exptime", "touch " KEY251 " x\r\n", "ERROR 261 " BAD),
    ROW("FRAME-5 noreply", "incr " KEY251 " 1 noreply\r\n", "ERROR 268 (silent)"),
    ROW("FRAME-5 set: its data is swallowed", "set " KEY251 " 0 0 5\r\nhello\r\n",
        "ERROR 263+7 " BAD),
    ROW("FRAME-5 set: before the data comes", "set " KEY251 " 0 0 5\r\n", "ERROR 263+7 " BAD),
    ROW("FRAME-5 set noreply", "set " KEY251 " 0 0 5 noreply\r\n", "ERROR 271+7 (silent)"),

    ROW("FRAME-6 no data yet", "set k 0 0 5\r\n", "MORE 20"),
    ROW("FRAME-6 part of the data", "set k 0 0 5\r\nhel", "MORE 20"),
    ROW("FRAME-6 without its end", "set k 0 0 5\r\nhello\r", "MORE 20"),
    ROW("FRAME-6 wrong end", "set k 0 0 5\r\nhelloxx", "ERROR 20 CLIENT_ERROR bad data chunk"),
    ROW("FRAME-6 bare newline waits for a byte", "set k 0 0 1\r\nx\n", "MORE 16"),
    ROW("FRAME-6 bare newline", "set k 0 0 1\r\nx\ng", "ERROR 16 CLIENT_ERROR bad data chunk"),
    ROW("FRAME-6 too long", "set k 0 0 1\r\nabcget k\r\n", "ERROR 16 CLIENT_ERROR bad data chunk"),
    ROW("FRAME-6 return alone", "set k 0 0 1\r\nx\rg", "ERROR 16 CLIENT_ERROR bad data chunk"),
    ROW("FRAME-6 noreply", "set k 0 0 1 noreply\r\nabc", "ERROR 24 (silent)"),
    ROW("FRAME-6 swapped end", "set k 0 0 0\r\n\n\r", "ERROR 15 CLIENT_ERROR bad data chunk"),

    ROW("FRAME-7 negative bytes", "set k 0 0 -1\r\n", "ERROR 14 " BAD),
    ROW("FRAME-7 plus", "set k 0 0 +1\r\nx\r\n", "ERROR 14 " BAD),
    ROW("FRAME-7 text", "set k 0 0 x noreply\r\n", "ERROR 21 " BAD),
    ROW("FRAME-7 trailing text", "set k 0 0 1x\r\n", "ERROR 14 " BAD),
    ROW("FRAME-7 noreply in its place", "set k 0 0 noreply\r\n", "ERROR 19 " BAD),
    ROW("FRAME-7 one too many", "set k 0 0 2147483646\r\n", "ERROR 22 " BAD),
    ROW("FRAME-7 beyond 64 bits", "set k 0 0 18446744073709551617\r\n", "ERROR 32 " BAD),
    ROW("FRAME-7 before a bad key", "set " KEY251 " 0 0 x\r\n", "ERROR 263 " BAD),
    ROW("FRAME-7 bad flags are swallowed", "set k x 0 5\r\n", "ERROR 13+7 " BAD),
    ROW("FRAME-7 bad exptime is swallowed", "set k 0 x 5 noreply\r\n", "ERROR 21+7 (silent)"),
    ROW("FRAME-7 cas without unique", "cas k 0 0 5\r\n", "ERROR 13+7 " BAD),
    ROW("FRAME-7 cas with noreply for unique", "cas k 0 0 5 noreply\r\n", "ERROR 21+7 (silent)"),
    ROW("FRAME-7 cas with text", "cas k 0 0 5 x\r\n", "ERROR 15+7 " BAD),
    ROW("FRAME-7 cas negative", "cas k 0 0 5 -1\r\n", "ERROR 16+7 " BAD),

    ROW("FRAME-8 largest", "set k 0 0 1024\r\n", "MORE 1042"),
    ROW("FRAME-8 too large", "set k 5 0 1025\r\n", "REQUEST 16+1027 set too_large key=k flags=5"),
    ROW("FRAME-8 too large noreply", "add k 0 0 1025 noreply\r\nxxx",
        "REQUEST 24+1027 add noreply too_large key=k"),
    ROW("FRAME-8 largest line can say", "set k 0 0 2147483645\r\n",
        "REQUEST 22+2147483647 set too_large key=k"),
    ROW("FRAME-8 bad line goes first", "cas k 0 0 1025\r\n", "ERROR 16+1027 " BAD),

    ROW("FRAME-9 noreply is a key", "delete noreply\r\n", "REQUEST 16 delete key=noreply"),
    ROW("FRAME-9 of get too", "get noreply\r\n", "REQUEST 13 get keys=noreply"),
    ROW("FRAME-9 not last", "set k 0 0 1 noreply x\r\nx\r\n", "REQUEST 26 set key=k value=x"),
    ROW("FRAME-9 exactly", "incr k 1 noreplyx\r\n", "REQUEST 19 incr key=k delta=1"),
    ROW("FRAME-9 case", "incr k 1 NOREPLY\r\n", "REQUEST 18 incr key=k delta=1"),
    ROW("FRAME-9 in the delta's place", "incr k noreply\r\n", "ERROR 16 (silent)"),
    ROW("FRAME-9 in the exptime's place", "touch k noreply\r\n", "ERROR 17 (silent)"),
    ROW("FRAME-9 in the level's place", "verbosity noreply\r\n", "ERROR 19 (silent)"),
    ROW("FRAME-9 in the limit's place", "cache_memlimit noreply\r\n", "ERROR 24 (silent)"),
    ROW("FRAME-9 twice", "flush_all noreply noreply\r\n", "ERROR 27 (silent)"),
    ROW("FRAME-9 24th token", "incr k 1 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 noreply\r\n",
        "REQUEST 58 incr noreply key=k delta=1"),
    ROW("FRAME-9 25th token", "incr k 1 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 noreply\r\n",
        "REQUEST 60 incr key=k delta=1"),

    ROW("FRAME-10 flags 2^32-1", "set k 4294967295 0 0\r\n\r\n",
        "REQUEST 24 set key=k flags=4294967295 value="),
    ROW("FRAME-10 flags 2^32", "set k 4294967296 0 0\r\n\r\n", "ERROR 22+2 " BAD),
    ROW("FRAME-10 flags negative", "set k -1 0 0\r\n\r\n", "ERROR 14+2 " BAD),
    ROW("FRAME-10 flags hexadecimal", "set k 0x1 0 0\r\n\r\n", "ERROR 15+2 " BAD),
    ROW("FRAME-10 flags plus", "set k +7 0 0\r\n\r\n", "REQUEST 16 set key=k flags=7 value="),
    ROW("FRAME-10 flags plus alone", "set k + 0 0\r\n\r\n", "ERROR 13+2 " BAD),
    ROW("FRAME-10 exptime 2^31-1", "set k 0 2147483647 0\r\n\r\n",
        "REQUEST 24 set key=k exptime=2147483647 value="),
    ROW("FRAME-10 exptime 2^31", "set k 0 2147483648 0\r\n\r\n", "ERROR 22+2 " BAD),
    ROW("FRAME-10 exptime -2^31", "set k 0 -2147483648 0\r\n\r\n",
        "REQUEST 25 set key=k exptime=-2147483648 value="),
    ROW("FRAME-10 exptime -2^31-1", "set k 0 -2147483649 0\r\n\r\n", "ERROR 23+2 " BAD),
    ROW("FRAME-10 exptime plus", "set k 0 +10 0\r\n\r\n", "REQUEST 17 set key=k exptime=10 value="),
    ROW("FRAME-10 exptime two signs", "set k 0 +-1 0\r\n\r\n", "ERROR 15+2 " BAD),
    ROW("FRAME-10 exptime other two", "set k 0 -+1 0\r\n\r\n", "ERROR 15+2 " BAD),
    ROW("FRAME-10 exptime fraction", "set k 0 1.5 0\r\n\r\n", "ERROR 15+2 " BAD),
    ROW("FRAME-10 cas 2^64-1", "cas k 0 0 0 18446744073709551615\r\n\r\n",
        "REQUEST 36 cas key=k cas=18446744073709551615 value="),
    ROW("FRAME-10 cas 2^64", "cas k 0 0 0 18446744073709551616\r\n\r\n", "ERROR 34+2 " BAD),
    ROW("FRAME-10 delta 2^64-1", "incr k 18446744073709551615\r\n",
        "REQUEST 29 incr key=k delta=18446744073709551615"),
    ROW("FRAME-10 delta 2^64", "incr k 18446744073709551616\r\n", "ERROR 29 " BAD_DELTA),
    ROW("FRAME-10 delta of thirty digits", "decr k 100000000000000000000000000000\r\n",
        "ERROR 39 " BAD_DELTA),
    ROW("FRAME-10 delta with zeros in front", "incr k 000000000000000000000000000007\r\n",
        "REQUEST 39 incr key=k delta=7"),
    ROW("FRAME-10 delta negative", "incr k -1\r\n", "ERROR 11 " BAD_DELTA),
    ROW("FRAME-10 delta text", "incr k 1a\r\n", "ERROR 11 " BAD_DELTA),
    ROW("FRAME-10 delta NUL", "incr k 1\0\r\n", "ERROR 11 " BAD_DELTA),
    ROW("FRAME-10 delta plus", "incr k +1\r\n", "REQUEST 11 incr key=k delta=1"),
    ROW("FRAME-10 touch plus", "touch k +1\r\n", "ERROR 12 " BAD_EXPTIME),
    ROW("FRAME-10 touch 2^31", "touch k 2147483648\r\n", "ERROR 20 " BAD_EXPTIME),
    ROW("FRAME-10 touch text", "touch k soon noreply\r\n", "ERROR 22 (silent)"),
    ROW("FRAME-10 gat plus", "gat +1 k\r\n", "ERROR 10 " BAD_EXPTIME),
    ROW("FRAME-10 gat 2^31", "gats 2147483648 k\r\n", "ERROR 19 " BAD_EXPTIME),
    ROW("FRAME-10 gat text", "gat k k\r\n", "ERROR 9 " BAD_EXPTIME),
    ROW("FRAME-10 flush_all text", "flush_all soon\r\n", "ERROR 16 " BAD_EXPTIME),
    ROW("FRAME-10 flush_all 2^31", "flush_all 2147483648\r\n", "ERROR 22 " BAD_EXPTIME),
    ROW("FRAME-10 verbosity text", "verbosity x\r\n", "ERROR 13 " BAD),
    ROW("FRAME-10 verbosity negative", "verbosity -1\r\n", "ERROR 14 " BAD),
    ROW("FRAME-10 verbosity 2^32", "verbosity 4294967296\r\n", "ERROR 22 " BAD),
    ROW("FRAME-10 cache_memlimit text", "cache_memlimit x\r\n", "ERROR 18 ERROR"),
    ROW("FRAME-10 cache_memlimit 2^32", "cache_memlimit 4294967296\r\n", "ERROR 27 ERROR"),

    /* The meta commands. */
    ROW("COMMAND mn", "mn\r\n", "REQUEST 4 mn []"),
    ROW("COMMAND mn ignores what follows", "mn 1 2 !\r\n", "REQUEST 10 mn []"),
    ROW("COMMAND mn is three bytes", "mn\n", "REQUEST 3 mn []"),
    ROW("COMMAND mg", "mg k\r\n", "REQUEST 6 mg key=k []"),
    ROW("COMMAND mg with flags", "mg k v  t f\r\n", "REQUEST 13 mg key=k [vtf]"),
    ROW("COMMAND mg, all of get", "mg k c h k l O1 q s t u v f P1 Lx\r\n",
        "REQUEST 35 mg key=k [chklOqstuvfPL] opaque=O1"),
    ROW("COMMAND mg N R T E", "mg k N30 R-1 T60 E7\r\n",
        "REQUEST 21 mg key=k exptime=60 [NRTE] vivify=30 recache=-1 new=7"),
    ROW("COMMAND ms", "ms k 5\r\nhello\r\n", "REQUEST 15 ms key=k value=hello []"),
    ROW("COMMAND ms with flags", "ms k 2 T300 F7 C9 E10 I MA N4 c\r\nhi\r\n",
        "REQUEST 37 ms key=k flags=7 exptime=300 cas=9 value=hi [TFCEIMNc] mode=A vivify=4 new=10"),
    ROW("COMMAND ms, nothing", "ms k 0\r\n\r\n", "REQUEST 10 ms key=k value= []"),
    ROW("COMMAND md", "md k\r\n", "REQUEST 6 md key=k []"),
    ROW("COMMAND md with flags", "md k I T5 C18446744073709551615 x q\r\n",
        "REQUEST 37 md key=k exptime=5 cas=18446744073709551615 [ITCxq]"),
    ROW("COMMAND ma", "ma k\r\n", "REQUEST 6 ma key=k delta=1 []"),
    ROW("COMMAND ma with flags", "ma k MD D5 N0 J13 T-1 C1 v t c k O\r\n",
        "REQUEST 36 ma key=k exptime=-1 cas=1 delta=5 [MDNJTCvtckO] mode=D opaque=O vivify=0 "
        "initial=13"),
    ROW("COMMAND me", "me k\r\n", "REQUEST 6 me key=k []"),
    ROW("COMMAND me b", "me AAAA b\r\n", "REQUEST 11 me key=AAAA []"),
    ROW("COMMAND me ignores all else", "me AAA v b !\r\n", "REQUEST 14 me key=AAA []"),
    ROW("META-1 a letter alone carries the flag", "mg k vfoo hx k9\r\n",
        "REQUEST 17 mg key=k [vhk]"),
    ROW("META-1 any command takes any flag", "md k v s h F5 M? J9 D7\r\n",
        "REQUEST 24 md key=k flags=5 delta=7 [vshFMJD] mode=? initial=9"),
    ROW("META-1 unknown letter", "mg k z\r\n", "ERROR 8 CLIENT_ERROR invalid flag"),
    ROW("META-1 unknown capital", "mg k Z\r\n", "ERROR 8 CLIENT_ERROR invalid flag"),
    ROW("META-1 S is not one", "mg k S5\r\n", "ERROR 9 CLIENT_ERROR invalid flag"),
    ROW("META-1 a digit", "mg k 1\r\n", "ERROR 8 CLIENT_ERROR invalid flag"),
    ROW("META-1 noreply is no word here", "mg k noreply\r\n", "ERROR 14 CLIENT_ERROR invalid flag"),
    ROW("META-1 neither letter nor digit", "mg k !\r\n",
        "ERROR 8 CLIENT_ERROR bad command line format"),
    ROW("META-1 between Z and a", "mg k _v\r\n", "ERROR 9 CLIENT_ERROR bad command line format"),
    ROW("META-1 a high byte", "mg k \xe9\r\n", "ERROR 8 CLIENT_ERROR bad command line format"),
    ROW("META-1 NUL", "mg k \0\r\n", "ERROR 8 CLIENT_ERROR bad command line format"),
    ROW("META-1 twice", "mg k v t v\r\n", "ERROR 12 CLIENT_ERROR duplicate flag"),
    ROW("META-1 twice with tokens", "mg k T1 T2\r\n", "ERROR 12 CLIENT_ERROR duplicate flag"),
    ROW("META-1 an opaque twice", "mg k Oa Ob\r\n", "ERROR 12 CLIENT_ERROR duplicate flag"),
    ROW("META-1 a letter in both cases", "mg k t T5 l L\r\n",
        "REQUEST 15 mg key=k exptime=5 [tTlL]"),
    ROW("META-1 twenty tokens", "mg k c h k l O1 q s t u v P1 L1 f I M1 T0 R1 F1\r\n",
        "REQUEST 49 mg key=k flags=1 [chklOqstuvPLfIMTRF] mode=1 opaque=O1 recache=1"),
    ROW("META-1 twenty-one", "mg k c h k l O1 q s t u v P1 L1 f I M1 T0 R1 F1 C1\r\n",
        "ERROR 52 CLIENT_ERROR options flags are too long"),
    ROW("META-1 twenty tokens of ms", "ms k 1 c h k l O1 q s t u v P1 L1 f I MS T0 R1\r\nx\r\n",
        "REQUEST 51 ms key=k value=x [chklOqstuvPLfIMTR] mode=S opaque=O1 recache=1"),
    ROW("META-1 twenty-one of ms", "ms k 1 c h k l O1 q s t u v P1 L1 f I MS T0 R1 F1\r\n",
        "ERROR 51+3 CLIENT_ERROR options flags are too long"),
    ROW("META-2 N", "mg k N\r\n", "ERROR 8 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 Nx", "mg k Nx\r\n", "ERROR 9 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 N1x", "mg k N1x\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 N+1", "mg k N+1\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 N2147483648", "mg k N2147483648\r\n",
        "ERROR 18 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 N-2147483649", "mg k N-2147483649\r\n",
        "ERROR 19 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 N1.5", "mg k N1.5\r\n", "ERROR 11 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 T", "mg k T\r\n", "ERROR 8 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 Tx", "mg k Tx\r\n", "ERROR 9 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 T1x", "mg k T1x\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 T+1", "mg k T+1\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 T2147483648", "mg k T2147483648\r\n",
        "ERROR 18 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 T-2147483649", "mg k T-2147483649\r\n",
        "ERROR 19 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 T1.5", "mg k T1.5\r\n", "ERROR 11 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 R", "mg k R\r\n", "ERROR 8 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 Rx", "mg k Rx\r\n", "ERROR 9 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 R1x", "mg k R1x\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 R+1", "mg k R+1\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 R2147483648", "mg k R2147483648\r\n",
        "ERROR 18 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 R-2147483649", "mg k R-2147483649\r\n",
        "ERROR 19 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 R1.5", "mg k R1.5\r\n", "ERROR 11 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 the ends of a time", "mg k T-2147483648 N2147483647 R0\r\n",
        "REQUEST 34 mg key=k exptime=-2147483648 [TNR] vivify=2147483647 recache=0"),
    ROW("META-2 C", "mg k C\r\n", "ERROR 8 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 Cx", "mg k Cx\r\n", "ERROR 9 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 C-1", "mg k C-1\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 C18446744073709551616", "mg k C18446744073709551616\r\n",
        "ERROR 28 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 E", "mg k E\r\n", "ERROR 8 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 Ex", "mg k Ex\r\n", "ERROR 9 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 E-1", "mg k E-1\r\n", "ERROR 10 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 E18446744073709551616", "mg k E18446744073709551616\r\n",
        "ERROR 28 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 F", "mg k F\r\n", "ERROR 8 CLIENT_ERROR bad command line format"),
    ROW("META-2 Fx", "mg k Fx\r\n", "ERROR 9 CLIENT_ERROR bad command line format"),
    ROW("META-2 F-1", "mg k F-1\r\n", "ERROR 10 CLIENT_ERROR bad command line format"),
    ROW("META-2 Fx Jx", "mg k Fx Jx\r\n", "ERROR 12 CLIENT_ERROR invalid numeric initial value"),
    ROW("META-2 b Fx", "mg ! b Fx\r\n", "ERROR 11 CLIENT_ERROR error decoding key"),
    ROW("META-2 F4294967296", "mg k F4294967296\r\n",
        "ERROR 18 CLIENT_ERROR bad command line format"),
    ROW("META-2 the ends of F", "mg k F4294967295\r\n", "REQUEST 18 mg key=k flags=4294967295 [F]"),
    ROW("META-2 J", "mg k Jx\r\n", "ERROR 9 CLIENT_ERROR invalid numeric initial value"),
    ROW("META-2 D", "mg k D\r\n", "ERROR 8 CLIENT_ERROR invalid numeric delta value"),
    ROW("META-2 a plus", "mg k C+1 D+2 J+3 F+4 E+5\r\n",
        "REQUEST 26 mg key=k flags=4 cas=1 delta=2 [CDJFE] new=5 initial=3"),
    ROW("META-2 the last bad one is told", "mg k Tx Jx\r\n",
        "ERROR 12 CLIENT_ERROR invalid numeric initial value"),
    ROW("META-2 but F's only where it is the first", "mg k Tx Fx\r\n",
        "ERROR 12 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 the last bad one is told, turned", "mg k Fx Tx\r\n",
        "ERROR 12 CLIENT_ERROR bad token in command line format"),
    ROW("META-2 unknown beats bad", "mg k Tx z\r\n", "ERROR 11 CLIENT_ERROR invalid flag"),
    ROW("META-2 ma says one thing: z", "ma k z\r\n",
        "ERROR 8 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma says one thing: v v", "ma k v v\r\n",
        "ERROR 10 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma says one thing: Tx", "ma k Tx\r\n",
        "ERROR 9 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma says one thing: Jx", "ma k Jx\r\n",
        "ERROR 9 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma says one thing: D", "ma k D\r\n",
        "ERROR 8 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma says one thing: !", "ma k !\r\n",
        "ERROR 8 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma: key", "ma AAA b\r\n", "ERROR 10 CLIENT_ERROR invalid or duplicate flag"),
    ROW("META-2 ma: too many", "ma k c h k l O1 q s t u v P1 L1 f I MI T0 R1 F1 C1\r\n",
        "ERROR 52 CLIENT_ERROR options flags are too long"),
    ROW("META-2 ma: opaque", "ma k O" K10("a") K10("a") K10("a") "aa\r\n",
        "ERROR 40 CLIENT_ERROR opaque token too long"),
    ROW("META-3 31 bytes of opaque", "mg k O" K10("a") K10("a") K10("a") "a\r\n",
        "REQUEST 39 mg key=k [O] opaque=O" K10("a") K10("a") K10("a") "a"),
    ROW("META-3 32 bytes of opaque", "mg k O" K10("a") K10("a") K10("a") "aa\r\n",
        "ERROR 40 CLIENT_ERROR opaque token too long"),
    ROW("META-3 before it is stored", "ms k 2 O" K10("a") K10("a") K10("a") "aa\r\n",
        "ERROR 42+4 CLIENT_ERROR opaque token too long"),
    ROW("META-4 ms ME", "ms k 1 ME\r\nx\r\n", "REQUEST 14 ms key=k value=x [M] mode=E"),
    ROW("META-4 ms MA", "ms k 1 MA\r\nx\r\n", "REQUEST 14 ms key=k value=x [M] mode=A"),
    ROW("META-4 ms MP", "ms k 1 MP\r\nx\r\n", "REQUEST 14 ms key=k value=x [M] mode=P"),
    ROW("META-4 ms MR", "ms k 1 MR\r\nx\r\n", "REQUEST 14 ms key=k value=x [M] mode=R"),
    ROW("META-4 ms MS", "ms k 1 MS\r\nx\r\n", "REQUEST 14 ms key=k value=x [M] mode=S"),
    ROW("META-4 only its first byte", "ms k 1 MSET\r\nx\r\n",
        "REQUEST 16 ms key=k value=x [M] mode=S"),
    ROW("META-4 ms M", "ms k 1 M\r\n", "ERROR 10+3 CLIENT_ERROR invalid mode for ms M token"),
    ROW("META-4 ms Me", "ms k 1 Me\r\n", "ERROR 11+3 CLIENT_ERROR invalid mode for ms M token"),
    ROW("META-4 ms Ms", "ms k 1 Ms\r\n", "ERROR 11+3 CLIENT_ERROR invalid mode for ms M token"),
    ROW("META-4 ms MI", "ms k 1 MI\r\n", "ERROR 11+3 CLIENT_ERROR invalid mode for ms M token"),
    ROW("META-4 ms M+", "ms k 1 M+\r\n", "ERROR 11+3 CLIENT_ERROR invalid mode for ms M token"),
    ROW("META-4 ma MI", "ma k MI\r\n", "REQUEST 9 ma key=k delta=1 [M] mode=I"),
    ROW("META-4 ma M+", "ma k M+\r\n", "REQUEST 9 ma key=k delta=1 [M] mode=+"),
    ROW("META-4 ma MD", "ma k MD\r\n", "REQUEST 9 ma key=k delta=1 [M] mode=D"),
    ROW("META-4 ma M-", "ma k M-\r\n", "REQUEST 9 ma key=k delta=1 [M] mode=-"),
    ROW("META-4 ma M", "ma k M\r\n", "ERROR 8 CLIENT_ERROR invalid mode for ma M token"),
    ROW("META-4 ma Mi", "ma k Mi\r\n", "ERROR 9 CLIENT_ERROR invalid mode for ma M token"),
    ROW("META-4 ma Md", "ma k Md\r\n", "ERROR 9 CLIENT_ERROR invalid mode for ma M token"),
    ROW("META-4 ma ME", "ma k ME\r\n", "ERROR 9 CLIENT_ERROR invalid mode for ma M token"),
    ROW("META-4 ma MS", "ma k MS\r\n", "ERROR 9 CLIENT_ERROR invalid mode for ma M token"),
    ROW("META-4 no NUL", "ms k 1 M\0\r\n", "ERROR 11+3 CLIENT_ERROR invalid mode for ms M token"),
    ROW("META-5 base64", "mg dGVzdA== b\r\n", "REQUEST 15 mg key=dGVzdA== [b]"),
    ROW("META-5 the whole alphabet",
        "mg ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ v b\r\n",
        "REQUEST 73 mg key=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ [vb]"),
    ROW("META-5 the longest", "mg " BASE64_248 " b\r\n", "REQUEST 255 mg key=" BASE64_248 " [b]"),
    ROW("META-5 not base64: dGVzdA", "mg dGVzdA b\r\n", "ERROR 13 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGVzdA=", "mg dGVzdA= b\r\n",
        "ERROR 14 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGVzdA===", "mg dGVzdA=== b\r\n",
        "ERROR 16 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: ====", "mg ==== b\r\n", "ERROR 11 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: A===", "mg A=== b\r\n", "ERROR 11 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: AA=A", "mg AA=A b\r\n", "ERROR 11 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGV!dA==", "mg dGV!dA== b\r\n",
        "ERROR 15 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGVzdA==AAAA", "mg dGVzdA==AAAA b\r\n",
        "ERROR 19 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGVz-_==", "mg dGVz-_== b\r\n",
        "ERROR 15 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGVzdB==", "mg dGVzdB== b\r\n",
        "ERROR 15 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: dGV=", "mg dGV= b\r\n", "ERROR 11 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: !", "mg ! b\r\n", "ERROR 8 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: =", "mg = b\r\n", "ERROR 8 CLIENT_ERROR error decoding key"),
    ROW("META-5 not base64: =AAA", "mg =AAA b\r\n", "ERROR 11 CLIENT_ERROR error decoding key"),
    ROW("META-5 not asked for", "mg ==== v\r\n", "REQUEST 11 mg key===== [v]"),
    ROW("META-5 ms", "ms AAA 2 b\r\n", "ERROR 12+4 CLIENT_ERROR error decoding key"),
    ROW("META-5 me", "me AAA b\r\n", "ERROR 10 CLIENT_ERROR bad command line format"),
    ROW("META-6 mg alone", "mg\r\n", "ERROR 4 CLIENT_ERROR bad command line format"),
    ROW("META-6 mg and spaces", "mg   \r\n", "ERROR 7 CLIENT_ERROR bad command line format"),
    ROW("META-6 md alone", "md\r\n", "ERROR 4 CLIENT_ERROR bad command line format"),
    ROW("META-6 ma alone", "ma\r\n", "ERROR 4 CLIENT_ERROR bad command line format"),
    ROW("META-6 me alone", "me\r\n", "ERROR 4 CLIENT_ERROR bad command line format"),
    ROW("META-6 ms alone", "ms\r\n", "ERROR 4 CLIENT_ERROR bad command line format"),
    ROW("META-6 ms without bytes", "ms k\r\n", "ERROR 6 CLIENT_ERROR bad command line format"),
    ROW("META-6 ms, not a number", "ms k x\r\n", "ERROR 8 CLIENT_ERROR bad command line format"),
    ROW("META-6 ms, a plus", "ms k +1\r\n", "ERROR 9 CLIENT_ERROR bad command line format"),
    ROW("META-6 ms, negative", "ms k -1\r\n", "ERROR 9 CLIENT_ERROR bad command line format"),
    ROW("META-6 ms, one too many", "ms k 2147483646\r\n",
        "ERROR 17 CLIENT_ERROR bad command line format"),
    ROW("META-6 no bytes but a flag", "ms k T0\r\n",
        "ERROR 9 CLIENT_ERROR bad command line format"),
    ROW("META-6 250", "mg " KEY250 "\r\n", "REQUEST 255 mg key=" KEY250 " []"),
    ROW("META-6 251", "mg " KEY250 "k v\r\n", "ERROR 258 CLIENT_ERROR bad command line format"),
    ROW("META-6 251 md", "md " KEY250 "k\r\n", "ERROR 256 CLIENT_ERROR bad command line format"),
    ROW("META-6 251 ma", "ma " KEY250 "k\r\n", "ERROR 256 CLIENT_ERROR bad command line format"),
    ROW("META-6 251 me", "me " KEY250 "k\r\n", "ERROR 256 CLIENT_ERROR bad command line format"),
    ROW("META-6 251 ms", "ms " KEY250 "k 5 z\r\n",
        "ERROR 260+7 CLIENT_ERROR bad command line format"),
    ROW("META-6 252 of base64", "mg " K50("AAAA") K10("AAAA") "AAAAAAAAAAAA b\r\n",
        "ERROR 259 CLIENT_ERROR bad command line format"),
    ROW("META-6 upper case", "MG k\r\n", "ERROR 6 ERROR"),
    ROW("META-6 another letter", "mx k\r\n", "ERROR 6 ERROR"),
    ROW("META-6 longer", "mgx k\r\n", "ERROR 7 ERROR"),
    ROW("META-6 too short to be unknown", "mx\n", "ERROR 3 CLIENT_ERROR bad command line format"),
    ROW("META-7 unknown flag", "ms k 5 z\r\n", "ERROR 10+7 CLIENT_ERROR invalid flag"),
    ROW("META-7 flag byte", "ms k 5 !\r\n", "ERROR 10+7 CLIENT_ERROR bad command line format"),
    ROW("META-7 F", "ms k 5 F-1\r\n", "ERROR 12+7 CLIENT_ERROR bad command line format"),
    ROW("META-7 data to come", "ms k 5 c\r\nhel", "MORE 17"),
    ROW("META-7 wrong end", "ms k 1 q\r\nabc", "ERROR 13 CLIENT_ERROR bad data chunk"),
    ROW("META-7 over the limit", "ms k 1025 c\r\n", "REQUEST 13+1027 ms too_large key=k [c]"),
};

#define ROWS_COUNT (sizeof(rows) / sizeof(rows[0]))

/* A row: what the table says, alone and with other bytes behind, and the same at every cut. */
static void row_test(void **state)
{
    const struct row *row = *state;
    const uint8_t *input = (const uint8_t *)row->input;
    char text[PARSE_CHECK_TEXT_BYTES];

    parse_check_text(input, row->count, VALUE_BYTES_MAX, text);
    assert_string_equal(text, row->answer);
    parse_check_stream(input, row->count, VALUE_BYTES_MAX, SIZE_MAX - 1);

    if (strncmp(row->answer, "MORE", 4) == 0) {
        return;
    }
    uint8_t *longer = malloc(row->count + 8);
    assert_non_null(longer);
    memcpy(longer, input, row->count);
    memcpy(longer + row->count, "get z\r\n", 8);
    parse_check_text(longer, row->count + 7, VALUE_BYTES_MAX, text);
    assert_string_equal(text, row->answer);
    parse_check_cuts(longer, row->count + 7, VALUE_BYTES_MAX, SIZE_MAX - 1);
    free(longer);
}

/* The rows are played back to back, as a client that does not wait would send them. */
static void pipelined_test(void **state)
{
    (void)state;
    size_t count = 0;
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        count += rows[i].count;
    }
    uint8_t *all = malloc(count);
    assert_non_null(all);
    size_t used = 0;
    for (size_t i = 0; i < ROWS_COUNT; i++) {
        memcpy(all + used, rows[i].input, rows[i].count);
        used += rows[i].count;
    }
    parse_check_stream(all, count, VALUE_BYTES_MAX, 64);
    free(all);
}

/* A line of @bytes before its \n that starts with @start and goes on with "x". */
static uint8_t *long_line(const char *start, size_t bytes)
{
    const size_t start_bytes = strlen(start);
    uint8_t *line = malloc(bytes + 1);

    assert_non_null(line);
    memset(line, 'x', bytes);
    memcpy(line, start, start_bytes < bytes ? start_bytes : bytes);
    line[bytes] = '\n';
    return line;
}

static void expect(const uint8_t *bytes, size_t count, const char *answer)
{
    char text[PARSE_CHECK_TEXT_BYTES];
    parse_check_text(bytes, count, VALUE_BYTES_MAX, text);
    assert_string_equal(text, answer);
}

/* FRAME-11: 2048 bytes without a newline wait, one more closes, newline behind it or not. */
static void long_line_test(void **state)
{
    (void)state;
    static const char *const starts[] = {"foo ",  "set ", "gat 1 ", "mg ",
                                         " get ", "getx", "getsx",  "get"};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        uint8_t *line = long_line(starts[i], 2049);
        expect(line, 2048, "MORE 0");
        expect(line, 2049, "CLOSE");
        expect(line, 2050, "CLOSE");
        parse_check_cuts(line, 2050, VALUE_BYTES_MAX, SIZE_MAX - 1);
        free(line);
    }
    uint8_t *line = long_line("foo ", 2048);
    expect(line, 2048, "MORE 0");
    expect(line, 2049, "ERROR 2049 ERROR");
    parse_check_cuts(line, 2049, VALUE_BYTES_MAX, SIZE_MAX - 1);
    free(line);
}

/* FRAME-11: a get line may have 4 MiB; its one key here is too long all the same. */
static void long_get_line_test(void **state)
{
    (void)state;
    static const char *const starts[] = {"get ", "gets "};

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        uint8_t *line = long_line(starts[i], PROTOCOL_GET_LINE_BYTES_MAX + 1);
        expect(line, 2049, "MORE 0");
        expect(line, PROTOCOL_GET_LINE_BYTES_MAX, "MORE 0");
        expect(line, PROTOCOL_GET_LINE_BYTES_MAX + 1, "CLOSE");
        expect(line, PROTOCOL_GET_LINE_BYTES_MAX + 2, "CLOSE");
        line[PROTOCOL_GET_LINE_BYTES_MAX] = '\n';
        expect(line, PROTOCOL_GET_LINE_BYTES_MAX + 1, "ERROR 4194305 " BAD);
        parse_check_cuts(line, PROTOCOL_GET_LINE_BYTES_MAX + 2, VALUE_BYTES_MAX, 16);
        free(line);
    }
}

/* FRAME-11: the 187 KB line of memcached's own getset.t has 18,725 keys; all come out, in order. */
static void many_keys_test(void **state)
{
    (void)state;
    enum {
        KEYS = 18725
    };
    const size_t room = 4 + KEYS * 10 + 2;
    char *line = malloc(room + 1);
    assert_non_null(line);
    size_t count = (size_t)sprintf(line, "get");
    for (unsigned i = 0; i < KEYS; i++) {
        count += (size_t)sprintf(line + count, " key_%05u", i);
    }
    count += (size_t)sprintf(line + count, "\r\n");

    struct protocol_parsed parsed;
    assert_int_equal(protocol_parse((uint8_t *)line, count, VALUE_BYTES_MAX, &parsed),
                     PROTOCOL_REQUEST);
    assert_int_equal(parsed.used, count);
    struct protocol_slice key;
    unsigned found = 0;
    while (protocol_next_key(&parsed.request.keys, &key)) {
        char name[16];
        (void)snprintf(name, sizeof(name), "key_%05u", found++);
        assert_int_equal(key.bytes, 9);
        assert_memory_equal(key.data, name, 9);
    }
    assert_int_equal(found, KEYS);
    parse_check_cuts((uint8_t *)line, count, VALUE_BYTES_MAX, 200);
    free(line);
}

/* A million requests in one piece come out one by one; quadratic work would outlast the test. */
static void million_test(void **state)
{
    (void)state;
    static const char request[] = "incr k 7\r\n";
    enum {
        COUNT = 1000000,
        BYTES = sizeof(request) - 1
    };
    uint8_t *all = malloc((size_t)COUNT * BYTES);
    assert_non_null(all);
    for (size_t i = 0; i < COUNT; i++) {
        memcpy(all + i * BYTES, request, BYTES);
    }

    size_t used = 0;
    size_t requests = 0;
    while (used < (size_t)COUNT * BYTES) {
        struct protocol_parsed parsed;
        if (protocol_parse(all + used, (size_t)COUNT * BYTES - used, VALUE_BYTES_MAX, &parsed) !=
                PROTOCOL_REQUEST ||
            parsed.request.delta != 7) {
            fail_msg("at %zu", used);
        }
        used += parsed.used;
        requests++;
    }
    assert_int_equal(requests, COUNT);
    free(all);
}

/* The limit on values is the caller's: none at all, or more than a line can say. */
static void value_limit_test(void **state)
{
    (void)state;
    static const char set[] = "set k 0 0 1\r\nx\r\n";
    static const char empty[] = "set k 0 0 0\r\n\r\n";
    static const char huge[] = "set k 0 0 2147483645\r\n";
    char text[PARSE_CHECK_TEXT_BYTES];

    parse_check_text((const uint8_t *)set, sizeof(set) - 1, 0, text);
    assert_string_equal(text, "REQUEST 13+3 set too_large key=k");
    parse_check_text((const uint8_t *)empty, sizeof(empty) - 1, 0, text);
    assert_string_equal(text, "REQUEST 15 set key=k value=");
    parse_check_text((const uint8_t *)huge, sizeof(huge) - 1, SIZE_MAX, text);
    assert_string_equal(text, "MORE 2147483669");
}

int main(void)
{
    static const struct CMUnitTest others[] = {
        cmocka_unit_test(pipelined_test),     cmocka_unit_test(long_line_test),
        cmocka_unit_test(long_get_line_test), cmocka_unit_test(many_keys_test),
        cmocka_unit_test(value_limit_test),   cmocka_unit_test(million_test),
    };
    enum {
        OTHERS = sizeof(others) / sizeof(others[0])
    };
    static struct CMUnitTest tests[ROWS_COUNT + OTHERS];
    static struct row states[ROWS_COUNT];

    for (size_t i = 0; i < ROWS_COUNT; i++) {
        states[i] = rows[i];
        tests[i] = (struct CMUnitTest){
            .name = rows[i].rule, .test_func = row_test, .initial_state = &states[i]};
    }
    memcpy(tests + ROWS_COUNT, others, sizeof(others));
    return _cmocka_run_group_tests("parse", tests, ROWS_COUNT + OTHERS, NULL, NULL);
}
