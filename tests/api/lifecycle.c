/* lifecycle.c - descriptors: what keeps an object alive, what ends it, and what finds it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/socket.h>
#include <sys/wait.h>

#include "tests/api/api.h"

static int kvm;

static bool vcpu_answers(int fd)
{
    struct kvm_regs regs;

    return KVM(fd, KVM_GET_REGS, &regs) == 0;
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void close_on_exec(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0);

    CHECK_EQ(fcntl(vm, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(vcpu, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(kvm_close(vcpu), 0);
    CHECK_EQ(kvm_close(vm), 0);
}

static void vcpu_outlives_descriptors(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0);

    CHECK_EQ(kvm_close(vm), 0);
    CHECK(vcpu_answers(vcpu)); /* the vcpu holds its VM */
    CHECK_EQ(kvm_close(vcpu), 0);
}

static void vcpu_belongs_to_vm(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 3);

    CHECK_EQ(kvm_close(vcpu), 0);
    CHECK_FAILS(vm, KVM_CREATE_VCPU, 3, EEXIST);
    CHECK_EQ(kvm_close(vm), 0);
}

static void duplicates(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
    int vm2 = dup(vm), vcpu2 = fcntl(vcpu, F_DUPFD_CLOEXEC, 100);

    CHECK(vcpu_answers(vcpu2));
    CHECK_EQ(kvm_close(vcpu), 0);
    CHECK_EQ(kvm_close(vm), 0);
    CHECK(vcpu_answers(vcpu2));
    CHECK_RETURNS(vm2, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY, 1);
    CHECK_FAILS(vm2, KVM_CREATE_VCPU, 0, EEXIST);
    CHECK_EQ(kvm_close(vcpu2), 0);
    CHECK_EQ(kvm_close(vm2), 0);
}

/* A number that was closed with plain close(2) and given to another object. */
static void reused_number(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
    int null = open("/dev/null", O_RDWR);

    CHECK(vcpu_answers(vcpu));
    CHECK_EQ(dup2(vm, vcpu), vcpu);
    CHECK_RETURNS(vcpu, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY, 1);
    CHECK(!vcpu_answers(vcpu));
    CHECK_EQ(dup2(null, vcpu), vcpu);
    CHECK(!vcpu_answers(vcpu));
    close(null);
    close(vcpu);
    CHECK_FAILS(vcpu, KVM_RUN, 0, EBADF);
    CHECK_EQ(kvm_close(vm), 0);
}

static void send_descriptor(int socket, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    char byte = 0;
    struct iovec data = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};

    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    CHECK_EQ(sendmsg(socket, &m, 0), 1);
}

static int receive_descriptor(int socket)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec data = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    int fd;

    CHECK_EQ(recvmsg(socket, &m, 0), 1);
    memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
    return fd;
}

static void passed_through_socket(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0), pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    send_descriptor(pair[0], vcpu);
    CHECK_EQ(kvm_close(vcpu), 0); /* now it only exists on its way */
    CHECK_EQ(kvm_close(vm), 0);
    int received = receive_descriptor(pair[1]);
    CHECK(vcpu_answers(received));
    CHECK_EQ(kvm_close(received), 0);
    close(pair[0]);
    close(pair[1]);
}

static void run_page(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
    size_t size = (size_t)KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    struct kvm_run *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    struct kvm_run *b = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

    CHECK(a != MAP_FAILED && b != MAP_FAILED);
    a->immediate_exit = 1;
    CHECK_EQ(b->immediate_exit, 1);
    CHECK_EQ(kvm_close(vcpu), 0);
    CHECK_EQ(kvm_close(vm), 0);
    b->immediate_exit = 2; /* mappings outlive descriptors */
    CHECK_EQ(a->immediate_exit, 2);
    munmap(a, size);
    munmap(b, size);
}

/* VMs and vcpus are their process's own; the system descriptor is anybody's. */
static void forked_child(void)
{
    int vm = KVM(kvm, KVM_CREATE_VM, 0), vcpu = KVM(vm, KVM_CREATE_VCPU, 0), status = -1;
    struct kvm_regs regs;
    pid_t child = fork();

    if (!child) {
        int made = KVM(kvm, KVM_CREATE_VM, 0);
        bool good = KVM(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == -1 && errno == EIO;
        good = good && KVM(vcpu, KVM_GET_REGS, &regs) == -1 && errno == EIO;
        good = good && made >= 0 && KVM(made, KVM_CREATE_VCPU, 0) >= 0;
        good = good && kvm_close(vcpu) == 0 && kvm_close(vm) == 0;
        _exit(good ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    CHECK(vcpu_answers(vcpu));
    CHECK_EQ(kvm_close(vcpu), 0);
    CHECK_EQ(kvm_close(vm), 0);
}

int main(int argc, char **argv)
{
    kvm = api_start(argc, argv);
    vcpu_outlives_descriptors(); /* once before counting: what is made only once */
    unsigned before = open_descriptors();

    close_on_exec();
    vcpu_outlives_descriptors();
    vcpu_belongs_to_vm();
    duplicates();
    reused_number();
    passed_through_socket();
    run_page();
    forked_child();
    CHECK_EQ(kvm_close(KVM(kvm, KVM_CREATE_VM, 0)), 0); /* notices what was closed or unmapped meanwhile */
    CHECK_EQ(open_descriptors(), before);
    CHECK_EQ(kvm_close(kvm), 0);
    return TEST_DONE();
}
