# shim.py - lodge-kvm: which programs it serves, what they see of KVM, and how it fails
# SPDX-License-Identifier: GPL-2.0-or-later
import os
import shutil
import subprocess
import tempfile

from harness.lodge import Skip, output_of, require

PATIENCE = 120
SKIPPED = 77


def shim(build, *argv, env=None):
    """Status and output of lodge-kvm with these words."""
    words = ["env", *("%s=%s" % pair for pair in (env or {}).items())] if env else []
    return output_of([*words, build.path("lodge-kvm"), *argv], PATIENCE)


def wants(build, argv, status, *texts):
    got, out = shim(build, *argv)
    require(got == status, "%s: status %d, wanted %d; it printed:\n%s" % (" ".join(argv), got, status, out))
    for text in texts:
        require(text in out, "%s: no '%s' in:\n%s" % (" ".join(argv), text, out))
    return out


# ---- which programs ----

def refused(build, argv, status, *texts):
    """One line, which names what was asked for."""
    out = wants(build, argv, status, "lodge-kvm: ", *texts)
    require(out.count("\n") == 1, "more than one line:\n" + out)


def compiled(folder, name, *flags, source="int main(void) { return 0; }"):
    path = os.path.join(folder, name)
    p = subprocess.run(["gcc", "-x", "c", "-", "-o", path, *flags], input=source, text=True,
                       stderr=subprocess.PIPE)
    require(p.returncode == 0, "gcc failed:\n" + p.stderr)
    return path


def programs(build):
    def run():
        wants(build, ["--help"], 0, "usage: lodge-kvm", "-d LETTERS", "translation")
        wants(build, ["--version"], 0, "lodge-kvm ")
        wants(build, ["sh", "-c", "exit 7"], 7)
        refused(build, [], 125, "no program")
        refused(build, ["no-such-program"], 127, "no-such-program")
        refused(build, ["/no/such/program"], 127, "/no/such/program")
        refused(build, ["/etc/passwd"], 126, "/etc/passwd", "executable")
        refused(build, ["-d", "Q", "true"], 125, "'Q'")
        refused(build, ["-d", "m", "-D", "/no/such/folder/file", "true"], 125, "/no/such/folder")
        refused(build, ["-D", "file", "true"], 125, "-d")
        with tempfile.TemporaryDirectory() as folder:
            wants(build, [compiled(folder, "dynamic")], 0)
            refused(build, [compiled(folder, "static", "-static")], 126, "static", "glibc")
            refused(build, [compiled(folder, "other-libc", "-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1")], 126, "musl")
            script = os.path.join(folder, "script")
            with open(script, "w") as f:
                f.write("#!%s\n" % os.path.join(folder, "static"))
            os.chmod(script, 0o755)
            refused(build, [script], 126, "static")
    return run


def set_user_id(build):
    def run():
        if os.getuid():
            raise Skip("needs root, to make a program set-user-ID")
        with tempfile.TemporaryDirectory() as folder:
            path = shutil.copy(shutil.which("true"), folder)
            os.chown(path, 65534, 65534)
            os.chmod(path, 0o4755)
            refused(build, [path], 126, "set-user-ID")
    return run


# ---- what a program sees ----

SEEN = r"""
import ctypes, errno, fcntl, os, stat, sys
vendor = "kvm_amd" if any(w in open("/proc/cpuinfo").read() for w in ("AuthenticAMD", "HygonGenuine")) else "kvm_intel"
other = {"kvm_amd": "kvm_intel", "kvm_intel": "kvm_amd"}[vendor]

def fails(error, f, *args):
    try:
        f(*args)
    except OSError as e:
        assert e.errno == error, (f, args, e)
    else:
        raise AssertionError((f, args))

def is_device(st):
    return stat.S_ISCHR(st.st_mode) and os.major(st.st_rdev) == 10 and os.minor(st.st_rdev) == 232

GET_API_VERSION = 0xae00
assert is_device(os.stat("/dev/kvm")) and is_device(os.lstat("/dev//kvm")) and is_device(os.stat("/dev/../dev/./kvm"))
assert os.access("/dev/kvm", os.R_OK | os.W_OK) and not os.access("/dev/kvm", os.X_OK)
for path, folder in ("/dev/kvm", None), ("kvm", os.open("/dev", os.O_RDONLY)):
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)
    assert fcntl.ioctl(fd, GET_API_VERSION) == 12 and is_device(os.fstat(fd))
    twin = os.dup(fd)
    os.close(fd)
    assert fcntl.ioctl(twin, GET_API_VERSION) == 12
    os.close(twin)
    fails(errno.EBADF, fcntl.ioctl, twin, GET_API_VERSION)
libc = ctypes.CDLL(None, use_errno=True)
libc.realpath.restype = libc.canonicalize_file_name.restype = ctypes.c_char_p
libc.fopen.restype = libc.freopen.restype = ctypes.c_void_p
libc.freopen.argtypes, libc.fileno.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p], [ctypes.c_void_p]
assert libc.realpath(b"/dev/./kvm", None) == libc.canonicalize_file_name(b"/dev//kvm") == b"/dev/kvm"
assert os.path.realpath("/dev/kvm") == "/dev/kvm"
fails(errno.EINVAL, os.readlink, "/dev/kvm")
SYS_creat = 85
for fd in libc.creat(b"/dev/kvm", 0o600), libc.syscall(SYS_creat, b"/dev/kvm", 0o600):
    assert fcntl.ioctl(fd, GET_API_VERSION) == 12
    os.close(fd)
stream = libc.freopen(b"/dev/kvm", b"r+", libc.fopen(b"/dev/null", b"r"))
assert fcntl.ioctl(libc.fileno(stream), GET_API_VERSION) == 12
os.chdir("/dev")
with open("kvm", "r+b", buffering=0) as f:
    assert fcntl.ioctl(f, GET_API_VERSION) == 12
fails(errno.EEXIST, os.open, "/dev/kvm", os.O_RDWR | os.O_CREAT | os.O_EXCL)
fails(errno.ENOTDIR, os.open, "/dev/kvm", os.O_RDONLY | os.O_DIRECTORY)
fails(errno.ENOENT, os.open, "/dev/kvm0", os.O_RDONLY)
assert open("/sys/module/kvm/parameters/force_emulation_prefix").read() == "0\n"
table = {"kvm_amd": "npt", "kvm_intel": "ept"}[vendor]
path = "/sys/module/%s/parameters/%s" % (vendor, table)
assert open(path).read() == "N\n" and stat.S_ISREG(os.stat(path).st_mode) and os.path.isdir("/sys/module/" + vendor)
fails(errno.EACCES, os.open, path, os.O_WRONLY)
fails(errno.ENOENT, os.open, "/sys/module/%s/parameters/nested" % other, os.O_RDONLY)
fails(errno.ENOENT, os.stat, "/sys/module/" + other)
fails(errno.ENOENT, os.stat, "/sys/module/kvm/parameters/no_such")
# A child of fork has the system descriptor, and the one after exec has /dev/kvm anew.
fd = os.open("/dev/kvm", os.O_RDWR)
vm = fcntl.ioctl(fd, 0xae01, 0)
child = os.fork()
if not child:
    good = fcntl.ioctl(fd, GET_API_VERSION) == 12
    fails(errno.EIO, fcntl.ioctl, vm, 0xae41, 0)
    os.execv("/bin/sh", ["sh", "-c", "test %d = 1 && test -c /dev/kvm" % good])
assert os.waitpid(child, 0)[1] == 0
print("seen")
"""


def seen(build):
    return lambda: wants(build, ["python3", "-c", SEEN], 0, "seen")


def shell_sees(build):
    script = "[ -c /dev/kvm ] && [ -w /dev/kvm ] && [ ! -e /dev/kvm1 ] && : <>/dev/kvm && ls -l /dev/kvm && stat -c %F /dev/kvm"
    return lambda: wants(build, ["bash", "-c", script], 0, "10, 232", "character special file")


def dump(build):
    """-d reaches the library in the program."""
    def run():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "dump")
            wants(build, ["-d", "e", "-D", path, build.path("tests/api/run"), "shim"], 0)
            with open(path) as f:
                require("exit " in f.read(), "the dump has no exit of KVM_RUN")
    return run


# A vcpu's thread is cancelled wherever it is, in a loop of the guest and in HLT, and its dirty ring is not mapped
# but shared and without code.
THREADS = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define REQUIRE(x) do { if (!(x)) { perror(#x); return 1; } } while (0)
static int vcpu;

static void *run(void *arg)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        ioctl(vcpu, KVM_RUN, 0);
    return arg;
}

static int cancelled(int kvm, const char *code, size_t n, int irqchip)
{
    char *ram = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    struct kvm_userspace_memory_region region = {0, 0, 0, 65536, (unsigned long)ram};
    struct kvm_sregs s;
    struct kvm_regs r = {.rip = 0x1000, .rflags = 2};
    struct kvm_enable_cap ring = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {65536}};
    pthread_t t;
    void *result;

    memcpy(ram + 0x1000, code, n);
    REQUIRE(ioctl(vm, KVM_ENABLE_CAP, &ring) == 0);
    REQUIRE(!irqchip || ioctl(vm, KVM_CREATE_IRQCHIP, 0) == 0);
    REQUIRE(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    REQUIRE(vcpu >= 0);
    REQUIRE(mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, vcpu, 64 * 4096) == MAP_FAILED);
    REQUIRE(mmap(NULL, 65536, PROT_READ | PROT_EXEC, MAP_SHARED, vcpu, 64 * 4096) == MAP_FAILED);
    REQUIRE(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 64 * 4096) != MAP_FAILED);
    REQUIRE(ioctl(vcpu, KVM_GET_SREGS, &s) == 0);
    s.cs.base = s.cs.selector = 0;
    REQUIRE(ioctl(vcpu, KVM_SET_SREGS, &s) == 0 && ioctl(vcpu, KVM_SET_REGS, &r) == 0);
    REQUIRE(pthread_create(&t, NULL, run, NULL) == 0);
    usleep(50000);
    REQUIRE(pthread_cancel(t) == 0 && pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED);
    REQUIRE(ioctl(vcpu, KVM_GET_REGS, &r) == 0); /* the vcpu is nobody's now */
    close(vcpu);
    close(vm);
    return 0;
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR);
    for (int i = 0; i < 5; i++)
        if (cancelled(kvm, "\xeb\xfe", 2, 0) || cancelled(kvm, "\xfb\xf4\xeb\xfc", 4, 1) ||
            cancelled(kvm, "\xe6\x80\xeb\xfc", 4, 0))
            return 1;
    puts("cancelled");
}
"""


def threads(build):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            wants(build, [compiled(folder, "threads", "-pthread", source=THREADS)], 0, "cancelled")
    return run


# Memory that shadows can have looks private all the same: it can be discarded, a child has its own, and faults
# can be heard of. A filter of system calls that came after the start keeps shadows away.
PRIVATE = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUIRE(x) do { if (!(x)) { perror(#x); return 1; } } while (0)
enum { PAGE = 4096, SIZE = 96 << 20 };

static char *memory(int vm, unsigned slot)
{
    char *ram = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct kvm_userspace_memory_region r = {slot, 0, (unsigned long)slot * SIZE, SIZE, (unsigned long)ram};
    strcpy(ram, "begin");
    strcpy(ram + SIZE - PAGE, "end");
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r) ? NULL : ram;
}

static int is_shared(const char *ram)
{
    char line[512], rights[5];
    unsigned long from, to;
    FILE *f = fopen("/proc/self/maps", "r");
    int shared = 0;
    while (fgets(line, sizeof(line), f))
        if (sscanf(line, "%lx-%lx %4s", &from, &to, rights) == 3 && from <= (unsigned long)ram && (unsigned long)ram < to)
            shared = rights[3] == 's';
    fclose(f);
    return shared;
}

static int in_child(char *ram)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        int good = !strcmp(ram, "begin") && !strcmp(ram + SIZE - PAGE, "end");
        strcpy(ram, "child");
        _exit(good ? 7 : 1);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int dies_without(char *ram)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        ram[0] = 1;
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

static void *touch(void *page)
{
    return (void *)(long)*(volatile char *)page;
}

static int faults_are_heard(char *page)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register r = {{(unsigned long)page, PAGE}, UFFDIO_REGISTER_MODE_MISSING};
    struct uffd_msg m;
    static char source[PAGE] __attribute__((aligned(4096))) = "X";
    struct uffdio_copy copy = {(unsigned long)page, (unsigned long)source, PAGE};
    pthread_t t;
    void *got;
    if (fd < 0 && (errno == EPERM || errno == ENOSYS))
        return 0;
    REQUIRE(fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 && ioctl(fd, UFFDIO_REGISTER, &r) == 0);
    REQUIRE(madvise(page, PAGE, MADV_DONTNEED) == 0);
    REQUIRE(pthread_create(&t, NULL, touch, page) == 0);
    struct pollfd p = {fd, POLLIN};
    REQUIRE(poll(&p, 1, 10000) == 1 && read(fd, &m, sizeof(m)) == sizeof(m) && m.event == UFFD_EVENT_PAGEFAULT);
    REQUIRE(ioctl(fd, UFFDIO_COPY, &copy) == 0);
    REQUIRE(pthread_join(t, &got) == 0 && got == (void *)'X');
    return 0;
}

int main(void)
{
    int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    char *ram = memory(vm, 0), *other = memory(vm, 1);
    REQUIRE(ram && other && is_shared(ram) && is_shared(ram + SIZE - PAGE) && !strcmp(ram, "begin") && !strcmp(ram + SIZE - PAGE, "end"));
    REQUIRE(in_child(ram) == 7 && !strcmp(ram, "begin"));
    REQUIRE(madvise(ram, SIZE, MADV_DONTFORK) == 0 && dies_without(ram));
    REQUIRE(madvise(ram, SIZE, MADV_DOFORK) == 0 && in_child(ram) == 7);
    REQUIRE(madvise(ram, PAGE, MADV_DONTNEED) == 0 && ram[0] == 0 && !strcmp(ram + SIZE - PAGE, "end"));
    REQUIRE(madvise(ram + SIZE - PAGE, PAGE, MADV_FREE) == 0);
    REQUIRE(madvise(ram + 1, PAGE, MADV_DONTNEED) == -1 && errno == EINVAL);
    REQUIRE(faults_are_heard(ram) == 0 && !strcmp(other, "begin"));
    close(vm);
    close(kvm);
    REQUIRE(madvise(other, PAGE, MADV_DONTNEED) == 0);
    puts("private");
}
"""


def private(build):
    def run():
        with tempfile.TemporaryDirectory() as folder:
            wants(build, [compiled(folder, "private", "-pthread", source=PRIVATE)], 0, "private")
    return run


def api(build, name, path):
    """The tests of the API, which open /dev/kvm as any program would."""
    def run():
        status, out = shim(build, path, "shim")
        if status == SKIPPED:
            raise Skip(out.strip())
        require(status == 0 and "ok " in out, "status %d; it printed:\n%s" % (status, out))
    return run


def tests(build):
    return [("programs", programs(build)), ("set-user-id", set_user_id(build)), ("seen", seen(build)),
            ("shell", shell_sees(build)), ("dump", dump(build)), ("threads", threads(build)), ("private", private(build))] + \
           [("api-" + name, api(build, name, path)) for name, path in build.files("tests/api")]
