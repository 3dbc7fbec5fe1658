#include "server/sandbox.h"

#include "server/admin/log.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Whatever their arguments are. */
static const int ALLOWED[] = {
    /* connections */
    SCMP_SYS(accept4),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(fcntl),
    /* waiting */
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(poll),
    SCMP_SYS(futex),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    /* memory, but see RULES */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    /* time and figures */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrusage),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    /* files that are read: certificates, users, /proc/self/statm */
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(stat),
    SCMP_SYS(lseek),
    SCMP_SYS(pread64),
    /* the pages of a memory file (-e) */
    SCMP_SYS(fallocate),
    /* threads, signals, the end */
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(setpriority),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    /* a daemon lets go of its terminal when it serves */
    SCMP_SYS(dup2),
};

/* Only where an argument's bits under the mask are these. */
struct rule {
    int call;
    unsigned argument;
    scmp_datum_t mask, value;
};

#define NO_CODE(name)                   \
    {                                   \
        SCMP_SYS(name), 2, PROT_EXEC, 0 \
    }
#define READ_FLAGS (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND)
#define READ(name, at)                           \
    {                                            \
        SCMP_SYS(name), at, READ_FLAGS, O_RDONLY \
    }

static const struct rule RULES[] = {
    NO_CODE(mmap),
    NO_CODE(mprotect),
    READ(open, 1),
    READ(openat, 2),
    /* Threads, not processes. */
    {SCMP_SYS(clone), 0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM},
    /* How a thread is called (thread.h). */
    {SCMP_SYS(prctl), 0, ~(scmp_datum_t)0, PR_SET_NAME},
    /* To tell systemd that it stops. */
    {SCMP_SYS(socket), 0, ~(scmp_datum_t)0, AF_UNIX},
    /* How much there is to read (--http: libevent's buffers ask). */
    {SCMP_SYS(ioctl), 1, ~(scmp_datum_t)0, FIONREAD},
};

/* What libraries try and can do without. clone3(): its flags lie in memory, where a filter cannot
 * look, and glibc takes clone() then. An interface's name: for the text of a link-local address, of
 * whoever connects to --http from one. */
static int refuse_some(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp name = SCMP_A1(SCMP_CMP_EQ, SIOCGIFNAME, 0);
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

    return failed ? failed
                  : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENODEV), SCMP_SYS(ioctl), 1, name);
}

/* To nobody but itself: "shutdown", and abort(). */
static int allow_signals(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp itself = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, itself);

    return failed ? failed : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, itself);
}

static int allow_unlink(scmp_filter_ctx filter, const char *path)
{
    const struct scmp_arg_cmp this_one = SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)(uintptr_t)path, 0);

    return path == NULL ? 0
                        : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unlink), 1, this_one);
}

static int add_rules(scmp_filter_ctx filter, const char *pid_path)
{
    int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);

    for (size_t i = 0; !failed && i < sizeof(ALLOWED) / sizeof(ALLOWED[0]); i++) {
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, ALLOWED[i], 0);
    }
    for (size_t i = 0; !failed && i < sizeof(RULES) / sizeof(RULES[0]); i++) {
        const struct scmp_arg_cmp argument =
            SCMP_CMP(RULES[i].argument, SCMP_CMP_MASKED_EQ, RULES[i].mask, RULES[i].value);
        failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, RULES[i].call, 1, argument);
    }
    failed = failed ? failed : refuse_some(filter);
    failed = failed ? failed : allow_unlink(filter, pid_path);
    return failed ? failed : allow_signals(filter);
}

bool sandbox_enter(const char *pid_path, struct log *log)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int failed = filter != NULL ? add_rules(filter, pid_path) : -ENOMEM;

    failed = failed ? failed : seccomp_load(filter);
    if (filter != NULL) {
        seccomp_release(filter);
    }
    if (failed) {
        log_say(log, LOG_ALWAYS, "-o drop_privileges: no filter of system calls: %s",
                strerror(-failed));
    }
    return !failed;
}
