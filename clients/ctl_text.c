#include "clients/ctl_text.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

const char *ctl_put_bytes(double bytes, char text[32])
{
    static const char *const UNITS[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    const char *sign = bytes < 0 ? "-" : "";
    size_t unit = 0;

    bytes = fabs(bytes);
    while (bytes >= 1024 && unit + 1 < sizeof(UNITS) / sizeof(UNITS[0])) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(text, 32, "%s%.*f %s", sign,
                   unit == 0 || bytes >= 100 ? 0
                   : bytes >= 10             ? 1
                                             : 2,
                   bytes, UNITS[unit]);
    return text;
}

const char *ctl_put_count(uint64_t count, char text[32])
{
    char digits[24];
    size_t bytes, used = 0;

    (void)snprintf(digits, sizeof(digits), "%" PRIu64, count);
    bytes = strlen(digits);
    for (size_t i = 0; i < bytes; i++) {
        if (i > 0 && (bytes - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

void ctl_put_json(FILE *file, const void *bytes, size_t count)
{
    const uint8_t *byte = bytes;

    (void)putc('"', file);
    for (size_t i = 0; i < count; i++) {
        if (byte[i] == '"' || byte[i] == '\\')
            fprintf(file, "\\%c", byte[i]);
        else
            fprintf(file, byte[i] < ' ' || byte[i] >= 0x7f ? "\\u%04x" : "%c", byte[i]);
    }
    (void)putc('"', file);
}

void ctl_put_key(FILE *file, const void *key, size_t key_bytes)
{
    const uint8_t *byte = key;

    for (size_t i = 0; i < key_bytes; i++)
        fprintf(file, byte[i] <= ' ' || byte[i] >= 0x7f || byte[i] == '%' ? "%%%02X" : "%c",
                byte[i]);
}

static unsigned digit(uint8_t letter)
{
    return (unsigned)(letter <= '9' ? letter - '0' : (letter | 0x20) - 'a' + 10);
}

size_t ctl_read_uri(const uint8_t *text, size_t text_bytes, uint8_t *bytes, size_t room)
{
    size_t used = 0;

    for (size_t i = 0; i < text_bytes; i++) {
        uint8_t byte = text[i];

        if (byte == '%') {
            if (text_bytes - i < 3 || isxdigit(text[i + 1]) == 0 || isxdigit(text[i + 2]) == 0)
                return 0;
            byte = (uint8_t)(digit(text[i + 1]) << 4 | digit(text[i + 2]));
            i += 2;
        }
        if (used == room)
            return 0;
        bytes[used++] = byte;
    }
    return used;
}
