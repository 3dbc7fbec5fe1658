/*
 * config_fuzz.c - any bytes as a file of options: the start is refused with a sentence that says
 * where, or everything is within its range.
 */
#include "server/admin/config.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count_setting(void *context, const char *name, const char *value)
{
    unsigned *count = context;

    assert(name[0] != '\0' && strlen(value) <= CONFIG_LISTEN_BYTES_MAX);
    *count += 1;
}

static void check_taken(const struct config *config)
{
    unsigned settings = 0;

    assert(config->threads >= 1 && config->threads <= CONFIG_THREADS_MAX);
    assert(config->memory_bytes > 0 && config->memory_bytes <= CONFIG_MEMORY_BYTES_MAX);
    assert(config->item_bytes_max <= config->memory_bytes / 2);
    assert(config->addresses_count <= CONFIG_ADDRESSES_MAX);
    assert(config->texts_used <= CONFIG_TEXT_BYTES_MAX);
    config_settings(config, count_setting, &settings);
    assert(settings > 60);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config config;
    static struct config_report report;
    char program[] = "zbcached", option[] = "--config", path[64];
    char *argv[] = {program, option, path, NULL};
    const int fd = memfd_create("options", MFD_CLOEXEC);

    assert(fd >= 0);
    const ssize_t written = write(fd, data, size);
    assert(written == (ssize_t)size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const enum config_status status = config_parse(3, argv, false, &config, &report);
    (void)close(fd);
    assert(status == CONFIG_OK || status == CONFIG_ERROR);
    if (status == CONFIG_OK) {
        check_taken(&config);
    } else {
        assert(report.error[0] != '\0' && report.exit_code != 0);
    }
    return 0;
}
