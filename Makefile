# Lodge: one make, no configuration step. `make help` lists what it can do.
#
# CC=clang         the other compiler
# V=1              whole command lines
# SAN=1            sanitizers, into build-san/ (see "Sanitizers" below)
# O=DIR            another output folder
# SPDX-License-Identifier: GPL-2.0-or-later

SAN ?=
O ?= $(if $(SAN),build-san,build)
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc
COMPLETIONS ?= $(PREFIX)/share/bash-completion/completions
CFLAGS ?= -O2 -g
TESTS ?=

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.SECONDARY:

# One short line a command; V=1 shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' $1 $@;)

# ---- flags ---------------------------------------------------------------------------------------------------
# A row of a table names what it has, and the rest is zero: no warning for that.
STD       := -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Wno-missing-field-initializers -Werror -I. -Iinclude -MMD -MP
APP_FLAGS  = $(STD) $(CFLAGS) -fPIC -fvisibility=hidden $(APP_SAN)
# The engine's helpers run while the guest's vector state is live in the CPU (hypervisor/cpu/vcpu.h), so the compiler
# must not touch vector registers in the library, not even to copy a struct.
LIB_FLAGS  = $(STD) $(CFLAGS) -fPIC -fvisibility=hidden -mgeneral-regs-only $(LIB_SAN)
LINK       = $(CC) $(CFLAGS) $(LDFLAGS)

# Sanitizers. The address sanitizer's run-time library may use vector registers behind the compiler's back (before
# each call of a noreturn function, for one), and the engine leaves frames without unwinding them. So the shared
# library gets only those checks that trap in place; the machine, the manager and the unit tests, for which the
# library's sources are compiled a second time, get everything.
ifneq ($(SAN),)
APP_SAN  := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LIB_SAN  := -fsanitize=undefined -fsanitize-undefined-trap-on-error
LINK_SAN := -fsanitize=address,undefined
endif

# ---- what is built -------------------------------------------------------------------------------------------
LIB_SRC     := $(filter-out hypervisor/shim/%,$(wildcard hypervisor/*.[cS] hypervisor/*/*.[cS]))
BASE_SRC    := $(wildcard base/*.c)
SHIM_SRC    := $(wildcard hypervisor/shim/*.c)
PRELOAD_SRC := $(wildcard hypervisor/shim/preload/*.c)
CONFIG_SRC  := $(wildcard base/config/*.c)
IMAGE_SRC   := $(wildcard base/image/*.c base/image/*/*.c)
MACHINE_SRC := $(wildcard machine/*.c machine/*/*.c)
CLI_SRC     := $(wildcard manager/cli/*.c)
DAEMON_SRC  := $(wildcard $(patsubst %,manager/%/*.c,rpc daemon domains storage networks))
UNIT_SRC    := $(wildcard tests/unit/*.c)
API_SRC     := $(wildcard tests/api/*.c)
GUEST_SRC   := $(wildcard tests/guests/*.[cS])
FUZZ_SRC    := $(wildcard tests/fuzz/cpu/*.[cS] tests/fuzz/cases/*.S)
STEP_SRC    := $(wildcard tests/lockstep/*.c)

# One source compiled with the library's flags is below lib/, with the programs' flags below app/.
objects = $(patsubst %,$(O)/$1/%.o,$(basename $2))
LIB_OBJ      := $(call objects,lib,$(LIB_SRC))
LIB_BASE_OBJ := $(call objects,lib,$(BASE_SRC))
BASE_OBJ     := $(call objects,app,$(BASE_SRC))
SHIM_OBJ     := $(call objects,app,$(SHIM_SRC))
PRELOAD_OBJ  := $(call objects,lib,$(PRELOAD_SRC))
CONFIG_OBJ   := $(call objects,app,$(CONFIG_SRC))
IMAGE_OBJ    := $(call objects,app,$(IMAGE_SRC))
MACHINE_OBJ  := $(call objects,app,$(MACHINE_SRC))
CLI_OBJ      := $(call objects,app,$(CLI_SRC))
DAEMON_OBJ   := $(call objects,app,$(DAEMON_SRC)) $(O)/gen/codec.o $(O)/gen/procedures.o
RPC_OBJ      := $(call objects,app,$(addprefix manager/rpc/,xdr.c arena.c connection.c)) $(O)/gen/codec.o
UNIT_LIB_OBJ := $(if $(SAN),$(call objects,unit,$(LIB_SRC)),$(LIB_OBJ))
# Archives, so that a unit test links only what it names; and what a test defines itself, a fake, wins over the
# library's function of that name even where something else from the same file is needed.
UNIT_ARCHIVES := $(O)/unit/hypervisor.a $(O)/unit/machine.a $(O)/unit/base.a

LIBRARY  := $(if $(LIB_SRC),$(O)/liblodge-kvm.so)
PRELOAD  := $(O)/liblodge-kvm-preload.so
PROGRAMS := $(O)/lodge-kvm $(if $(MACHINE_SRC),$(O)/lodge-vm) $(if $(CLI_SRC),$(O)/lodge) $(O)/lodged
UNIT     := $(patsubst %.c,$(O)/%,$(UNIT_SRC))
API      := $(patsubst %.c,$(O)/%,$(API_SRC))
GUESTS   := $(patsubst %,$(O)/%.elf,$(basename $(GUEST_SRC)))
CHECKERS := $(O)/tests/fuzz-cpu $(O)/tests/lockstep
IMAGE_LOAD := $(O)/tests/image-load

.PHONY: all tests run check check-qemu check-selftests check-kill check-guestview fuzz-cpu lockstep fuzz fuzz-machine fuzz-qcow2 fuzz-manager bench bench-machine bench-manager bench-boot bench-qemu format format-check install clean help
all: $(LIBRARY) $(PRELOAD) $(PROGRAMS) ## build the library, lodge-kvm, lodge-vm and lodge
tests: $(UNIT) $(API) $(GUESTS) $(CHECKERS) $(IMAGE_LOAD) ## build all tests without running them

$(O)/liblodge-kvm.so: $(LIB_OBJ) $(LIB_BASE_OBJ)
	$(call say,LINK)$(LINK) -shared -Wl,-soname,$(@F) -Wl,-z,now -Wl,-z,defs -Wl,-z,noexecstack \
	  -o $@ $^ -lZydis -lpthread

IMAGE_LIBS   := -lz -lzstd
MACHINE_LIBS := -ljansson $(IMAGE_LIBS) -lseccomp -luring
RPATH := -Wl,-rpath,'$$ORIGIN:$$ORIGIN/../lib'
# It goes into programs of others, so it has the library's flags and not the sanitizers.
$(O)/liblodge-kvm-preload.so: $(PRELOAD_OBJ) $(LIBRARY)
	$(call say,LINK)$(LINK) -shared -Wl,-soname,$(@F) -Wl,-z,now -Wl,-z,defs -Wl,-z,noexecstack \
	  -o $@ $(PRELOAD_OBJ) $(RPATH) -L$(O) -llodge-kvm

$(O)/lodge-kvm: $(SHIM_OBJ) $(BASE_OBJ) $(LIBRARY)
	$(call say,LINK)$(LINK) $(LINK_SAN) -Wl,-z,now -o $@ $(SHIM_OBJ) $(BASE_OBJ) $(RPATH) -L$(O) -llodge-kvm

$(O)/lodge-vm: $(MACHINE_OBJ) $(CONFIG_OBJ) $(IMAGE_OBJ) $(BASE_OBJ) $(LIBRARY)
	$(call say,LINK)$(LINK) $(LINK_SAN) -Wl,-z,now -o $@ $(filter %.o,$^) $(RPATH) -L$(O) -llodge-kvm -lpthread $(MACHINE_LIBS)

$(O)/lodge: $(CLI_OBJ) $(RPC_OBJ) $(CONFIG_OBJ) $(IMAGE_OBJ) $(BASE_OBJ)
	$(call say,LINK)$(LINK) $(LINK_SAN) -Wl,-z,now -o $@ $^ -ljansson $(IMAGE_LIBS)

# The RPC's structs, tables and codec are made of one description.
RPC_HEADER := $(O)/gen/manager/rpc/protocol.h
$(RPC_HEADER) $(O)/gen/codec.c $(O)/gen/procedures.c: manager/rpc/protocol.def manager/rpc/generate.py
	@mkdir -p $(dir $(RPC_HEADER))
	$(call say,GEN)python3 manager/rpc/generate.py $< $(if $(filter %.h,$@),header,$(basename $(@F))) >$@.new && mv $@.new $@
$(DAEMON_OBJ) $(CLI_OBJ): $(RPC_HEADER)
$(DAEMON_OBJ) $(CLI_OBJ): STD += -I$(O)/gen -I/usr/include/libxml2
$(O)/gen/%.o: $(O)/gen/%.c
	$(call say,CC)$(CC) $(APP_FLAGS) -c -o $@ $<

$(O)/lodged: $(DAEMON_OBJ) $(CONFIG_OBJ) $(IMAGE_OBJ) $(BASE_OBJ)
	$(call say,LINK)$(LINK) $(LINK_SAN) -Wl,-z,now -o $@ $^ -lxml2 -ljansson $(IMAGE_LIBS) -lpthread

# ---- tests ---------------------------------------------------------------------------------------------------
$(O)/unit/hypervisor.a: $(UNIT_LIB_OBJ)
$(O)/unit/machine.a: $(filter-out $(O)/app/machine/main.o,$(MACHINE_OBJ))
$(O)/unit/base.a: $(CONFIG_OBJ) $(IMAGE_OBJ) $(BASE_OBJ)
$(UNIT_ARCHIVES):
	@mkdir -p $(@D)
	$(call say,AR)rm -f $@ && $(AR) rcs $@ $^

$(UNIT): $(O)/tests/unit/%: $(O)/app/tests/unit/%.o $(UNIT_ARCHIVES)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) $(LINK_SAN) -Wl,-z,muldefs -o $@ $< -Wl,--start-group $(UNIT_ARCHIVES) -Wl,--end-group -lZydis -lpthread $(MACHINE_LIBS)

$(API): $(O)/tests/api/%: $(O)/app/tests/api/%.o $(BASE_OBJ) $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) $(LINK_SAN) -o $@ $< $(BASE_OBJ) -Wl,-rpath,'$$ORIGIN/../..' -L$(O) -llodge-kvm -lpthread

$(O)/tests/fuzz-cpu: $(call objects,app,$(FUZZ_SRC))
$(O)/tests/lockstep: $(call objects,app,$(STEP_SRC))
$(CHECKERS): $(BASE_OBJ) $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) $(LINK_SAN) -o $@ $(filter %.o,$^) -Wl,-rpath,'$$ORIGIN/..' -L$(O) -llodge-kvm -lZydis -lpthread

$(IMAGE_LOAD): $(O)/app/tests/image/load.o $(IMAGE_OBJ) $(BASE_OBJ)
	@mkdir -p $(@D)
	$(call say,LINK)$(LINK) $(LINK_SAN) -o $@ $^ -lpthread -ljansson $(IMAGE_LIBS)

# Bare-metal guests: NAME.c runs in 64-bit mode, NAME32.c in 32-bit mode (tests/guests/lib/guest.h).
GUEST_FLAGS := -std=gnu17 -Wall -Wextra -Werror -O2 -g -I. -MMD -MP -ffreestanding -fno-pic -fno-stack-protector \
  -fno-asynchronous-unwind-tables -fomit-frame-pointer -mgeneral-regs-only -mno-red-zone
GUEST_LINK  := -nostdlib -static -Wl,-T,tests/guests/lib/guest.ld -Wl,--build-id=none -Wl,-z,noexecstack \
  -Wl,--no-warn-rwx-segments
$(filter $(O)/tests/guests/smp-%,$(GUESTS)): $(patsubst %,$(O)/guest64/tests/guests/lib/%.o,cpus ap64)
guest_lib = $(patsubst %,$(O)/guest$1/tests/guests/lib/%.o,start$1 results traps memory)
$(filter %32.elf,$(GUESTS)): $(O)/tests/guests/%.elf: $(O)/guest32/tests/guests/%.o $(call guest_lib,32)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) -m32 $(GUEST_LINK) -o $@ $(filter %.o,$^)
$(filter-out %32.elf,$(GUESTS)): $(O)/tests/guests/%.elf: $(O)/guest64/tests/guests/%.o $(call guest_lib,64)
	@mkdir -p $(@D)
	$(call say,LINK)$(CC) $(GUEST_LINK) -o $@ $(filter %.o,$^)
$(GUESTS): tests/guests/lib/guest.ld
$(O)/guest64/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(GUEST_FLAGS) -c -o $@ $<
$(O)/guest64/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -I. -MMD -MP -c -o $@ $<
$(O)/guest32/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -m32 $(GUEST_FLAGS) -c -o $@ $<
$(O)/guest32/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -m32 -I. -MMD -MP -c -o $@ $<

# ---- compiling -----------------------------------------------------------------------------------------------
$(O)/lib/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(LIB_FLAGS) -c -o $@ $<
$(O)/lib/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(LIB_FLAGS) -c -o $@ $<
$(O)/unit/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(APP_FLAGS) -mgeneral-regs-only -c -o $@ $<
$(O)/unit/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(APP_FLAGS) -c -o $@ $<
$(O)/app/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(APP_FLAGS) -c -o $@ $<
$(O)/app/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(APP_FLAGS) -c -o $@ $<

-include $(shell find $(O) -path $(O)/bench/root -prune -o -name '*.d' -print 2>/dev/null)

# ---- the rest ------------------------------------------------------------------------------------------------
$(O)/initramfs.cpio.gz: tools/mkinitramfs.sh tools/initramfs-rc
	@tools/mkinitramfs.sh $@

$(O)/disk.raw: tools/mkdisk.sh tools/mkinitramfs.sh
	$(call say,DISK)tools/mkdisk.sh $@

# All processors, unless the caller has said how many jobs there are to be.
PARALLEL_MAKE = $(MAKE) --no-print-directory $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))

run: ## install what is missing, build, fetch a Debian kernel, boot it to a shell (RUN_ARGS: for lodge run)
	@tools/setup.sh run
	@$(PARALLEL_MAKE) all $(O)/initramfs.cpio.gz
	@kernel=$$(tools/fetch-kernel.sh) && \
	  exec $(O)/lodge run "$$kernel" --initrd $(O)/initramfs.cpio.gz --append 'console=ttyS0 quiet' $(RUN_ARGS)

check: ## install what is missing, build, run all tests (TESTS='unit guests boot ...': only these)
	@tools/setup.sh check
	@$(PARALLEL_MAKE) all tests $(O)/initramfs.cpio.gz $(O)/disk.raw
	@tests/run --build $(O) $(TESTS)

check-qemu: ## Debian's QEMU on Lodge: machines, chips, firmware, devices, snapshots, migration, hotplug, gdb (minutes)
	@tools/setup.sh check qemu
	@$(PARALLEL_MAKE) all $(O)/initramfs.cpio.gz $(O)/disk.raw
	@tests/run --build $(O) $(if $(TESTS),$(TESTS),qemu)

check-selftests: ## the Linux kernel's own tests of KVM, from Debian's linux-source, on Lodge (minutes; downloads 150 MB)
	@tools/setup.sh selftests
	@$(PARALLEL_MAKE) all
	@tests/run --build $(O) $(if $(TESTS),$(TESTS),selftests)

check-kill: ## images whose writer is killed at any moment, a hundred times of each shape; lodge-vm itself under a guest that writes (minutes)
	@tools/setup.sh check
	@$(PARALLEL_MAKE) all $(IMAGE_LOAD)
	@tests/run --build $(O) kill

check-guestview: ## a Debian guest's own view: stress-ng, openssl, gcc, Python, perl (root; GUESTVIEW='--short ...')
	@tools/setup.sh guestview
	@$(PARALLEL_MAKE) all
	@tests/guestview/run --build $(O) $(GUESTVIEW)

N ?= 200000
SEED ?= 1
fuzz-cpu: $(O)/tests/fuzz-cpu ## random unprivileged code on the host's CPU and in a guest (N=instructions SEED=)
	@$(O)/tests/fuzz-cpu -n $(N) -s $(SEED)

lockstep: $(O)/tests/lockstep ## random privileged code on the library, /dev/kvm and QEMU (N=cases SEED=)
	@$(O)/tests/lockstep -n $(N) -s $(SEED)

# Coverage-guided (clang's libFuzzer). The library's own code counts edges in line and traps on undefined behaviour; the
# address sanitizer watches the API alone, for the reasons above.
FUZZ_TIME ?= 60
FUZZ_SAN  := -fsanitize=undefined -fsanitize-undefined-trap-on-error -fsanitize-coverage=inline-8bit-counters,pc-table
FUZZ_LIB  := $(call objects,fuzz,$(LIB_SRC) $(BASE_SRC))
FUZZ_CASE := $(call objects,fuzz,tests/lockstep/generate.c tests/lockstep/instructions.c tests/lockstep/kvm.c)
$(O)/fuzz/hypervisor/api/%.o: FUZZ_SAN += -fsanitize=address
$(O)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)clang $(STD) -O1 -g -fPIC -fvisibility=hidden -mgeneral-regs-only $(FUZZ_SAN) -c -o $@ $<
$(O)/fuzz/%.o: %.S
	@mkdir -p $(@D)
	$(call say,CC)clang $(STD) -fPIC -c -o $@ $<
$(O)/tests/fuzz-ioctl: $(O)/fuzz/tests/fuzz/ioctl.o $(FUZZ_LIB)
$(O)/tests/fuzz-translate: $(O)/fuzz/tests/fuzz/translate.o $(FUZZ_CASE) $(FUZZ_LIB)
$(O)/tests/fuzz-ioctl $(O)/tests/fuzz-translate:
	@mkdir -p $(@D)
	$(call say,LINK)clang -fsanitize=fuzzer,address -o $@ $^ -lZydis -lpthread

# The machine's own: everything with the address sanitizer, on the library as it is.
APP_FUZZERS := virtio qmp options board
FUZZ_APP    := $(call objects,fuzz-app,$(filter-out machine/main.c,$(MACHINE_SRC)) $(CONFIG_SRC) $(IMAGE_SRC) $(BASE_SRC))
$(O)/fuzz-app/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)clang $(STD) -O1 -g -fPIC -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -c -o $@ $<
$(patsubst %,$(O)/tests/fuzz-%,$(APP_FUZZERS)): $(O)/tests/fuzz-%: $(O)/fuzz-app/tests/fuzz/%.o $(FUZZ_APP) $(LIBRARY)
	@mkdir -p $(@D)
	$(call say,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) -Wl,-rpath,'$$ORIGIN/..' -L$(O) -llodge-kvm \
	  -lpthread $(MACHINE_LIBS)

fuzz-machine: $(patsubst %,$(O)/tests/fuzz-%,$(APP_FUZZERS)) $(O)/tests/guests/faults.elf ## fuzz virtio devices, QMP, options, the board and saved states (FUZZ_TIME=seconds each)
	@for f in $(APP_FUZZERS); do \
	  mkdir -p $(O)/corpus/$$f $(O)/corpus/work && (cd $(O)/corpus/work && FUZZ_KERNEL=$(abspath $(O))/tests/guests/faults.elf \
	    $(abspath $(O))/tests/fuzz-$$f -max_total_time=$(FUZZ_TIME) -max_len=4096 -print_final_stats=1 -close_fd_mask=1 \
	    -rss_limit_mb=4096 -artifact_prefix=../ ../$$f $(abspath tests/fuzz/seeds/)/$$f) || exit 1; \
	done

$(O)/tests/fuzz-qcow2: $(call objects,fuzz-app,tests/fuzz/qcow2.c $(IMAGE_SRC) $(BASE_SRC))
	@mkdir -p $(@D)
	$(call say,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ $^ -lpthread -ljansson $(IMAGE_LIBS)

fuzz-qcow2: $(O)/tests/fuzz-qcow2 ## fuzz qcow2 images (FUZZ_TIME=seconds)
	@tests/fuzz/qcow2-seeds.sh $(O)/corpus/qcow2
	@$(O)/tests/fuzz-qcow2 -max_total_time=$(FUZZ_TIME) -max_len=65536 -timeout=20 -rss_limit_mb=1024 -close_fd_mask=2 \
	  -print_final_stats=1 -artifact_prefix=$(O)/corpus/ $(O)/corpus/qcow2

# The manager's, with all sanitizers.
FUZZ_APP_FLAGS := $(STD) -I$(O)/gen -I/usr/include/libxml2 -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined
FUZZ_MANAGER := $(call objects,fuzzm,$(filter-out manager/daemon/main.c,$(DAEMON_SRC)) $(CONFIG_SRC) $(IMAGE_SRC) $(BASE_SRC)) \
  $(O)/fuzzm/gen/codec.o $(O)/fuzzm/gen/procedures.o
$(O)/fuzzm/gen/%.o: $(O)/gen/%.c
	@mkdir -p $(@D)
	$(call say,CC)clang $(FUZZ_APP_FLAGS) -c -o $@ $<
$(O)/fuzzm/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)clang $(FUZZ_APP_FLAGS) -c -o $@ $<
$(FUZZ_MANAGER) $(O)/fuzzm/tests/fuzz/rpc.o $(O)/fuzzm/tests/fuzz/xml.o: $(RPC_HEADER)
$(O)/tests/fuzz-rpc $(O)/tests/fuzz-xml: $(O)/tests/fuzz-%: $(O)/fuzzm/tests/fuzz/%.o $(FUZZ_MANAGER)
	@mkdir -p $(@D)
	$(call say,LINK)clang -fsanitize=fuzzer,address,undefined -o $@ $^ -lxml2 -ljansson $(IMAGE_LIBS) -lpthread

fuzz-manager: $(O)/tests/fuzz-rpc $(O)/tests/fuzz-xml ## fuzz lodged's RPC, then the documents that it is sent (FUZZ_TIME=seconds each)
	@mkdir -p $(O)/corpus && cat tests/fuzz/seeds/xml/* manager/domains/definition.c manager/domains/device.c | grep -oE "[A-Za-z_][A-Za-z0-9_.-]{2,}" | \
	  sort -u | sed 's/.*/"&"/' > $(O)/corpus/xml.dict # the words of the documents
	@for f in rpc xml; do \
	  mkdir -p $(O)/corpus/$$f && chmod 777 $(O)/corpus $(O)/corpus/$$f && $(O)/tests/fuzz-$$f -max_total_time=$(FUZZ_TIME) -max_len=4096 \
	    -dict=$(O)/corpus/xml.dict -timeout=20 -print_final_stats=1 -artifact_prefix=$(O)/corpus/ $(O)/corpus/$$f tests/fuzz/seeds/xml || exit 1; \
	done

fuzz: $(O)/tests/fuzz-ioctl $(O)/tests/fuzz-translate ## fuzz the ioctls, then decoder and translator (FUZZ_TIME=seconds each)
	@for f in ioctl translate; do \
	  mkdir -p $(O)/corpus/$$f && ASAN_OPTIONS=detect_leaks=0 $(O)/tests/fuzz-$$f -max_total_time=$(FUZZ_TIME) \
	    -len_control=10 -max_len=4096 -print_final_stats=1 -artifact_prefix=$(O)/corpus/ $(O)/corpus/$$f || exit 1; \
	done

# The workloads are programs of their own, static but for the one of OpenSSL's library, in a root of Debian's programs.
BENCH_OBJ     = $(patsubst %,$(O)/bench/%.o,$1)
BENCH_SETS   := integer changing vector memory kernel ssl
BENCH_OTHERS := timed nothing
BENCH_BIN    := $(patsubst %,$(O)/bench/%,$(BENCH_SETS) $(BENCH_OTHERS))
$(O)/bench/%.o: bench/programs/%.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(STD) -O2 -c -o $@ $<
$(patsubst %,$(O)/bench/%,$(BENCH_SETS)): $(O)/bench/%: $(O)/bench/%.o $(call BENCH_OBJ,measure marks)
	$(call say,LINK)$(CC) $(if $(filter %/ssl,$@),,-static) -o $@ $^ $(if $(filter %/ssl,$@),-lcrypto,-lm -lpthread)
$(O)/bench/timed: $(call BENCH_OBJ,timed marks)
$(O)/bench/nothing: $(call BENCH_OBJ,nothing)
$(patsubst %,$(O)/bench/%,$(BENCH_OTHERS)):
	$(call say,LINK)$(CC) -static -o $@ $^
$(O)/bench/root.cpio.gz: bench/root.sh $(wildcard bench/guest/*) $(BENCH_BIN)
	$(call say,ROOT)bench/root.sh $(O)/bench/root $(BENCH_BIN)

$(O)/bench/boot.cpio.gz: tools/mkinitramfs.sh tools/initramfs-rc bench/boot-init
	@tools/mkinitramfs.sh $@ bench/boot-init=init

bench: ## time workloads natively, in lodge-vm, in QEMU's TCG (root; BENCH='int fp/nbody --quick --only native,ours')
	@tools/setup.sh bench
	@$(PARALLEL_MAKE) all $(O)/bench/root.cpio.gz $(O)/bench/boot.cpio.gz
	@bench/run --build $(O) $(if $(BENCH),$(BENCH),--output bench/results/$(shell date +%F).txt)

bench-machine: all ## size of lodge-vm, time to a guest's first instruction, memory of an idle guest; QEMU's beside it
	@bench/machine --build $(O)

bench-manager: all ## time lodged: lists of 1,000 domains, starts, memory
	@bench/manager --build $(O)

bench-boot: ## time from program start to /init and to the shell prompt: ours and QEMU's
	@$(MAKE) --no-print-directory bench BENCH='boot --only ours,tcg'

bench-qemu: ## the same for QEMU -accel kvm under lodge-kvm against QEMU's TCG, with a disk and a network
	@$(MAKE) --no-print-directory bench BENCH='boot prog fp ssl kern disk net --only qemu,tcg $(BENCH)'

format: ## write the sources as clang-format wants them
	@tools/check-format.sh --fix

format-check: ## tell what clang-format would change
	@tools/check-format.sh

# STRIP= keeps what debuggers read: four fifths of the files.
STRIP ?= -s
install: all ## install into PREFIX (/usr/local)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include/lodge
	install $(STRIP) $(O)/lodge $(O)/lodge-vm $(O)/lodged $(O)/lodge-kvm $(DESTDIR)$(PREFIX)/bin
	install $(STRIP) $(O)/liblodge-kvm.so $(O)/liblodge-kvm-preload.so $(DESTDIR)$(LIBDIR)
	install -m 644 include/lodge/kvm.h $(DESTDIR)$(PREFIX)/include/lodge
	sed 's,@PREFIX@,$(PREFIX),; s,@LIBDIR@,$(LIBDIR),' tools/lodge-kvm.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/lodge-kvm.pc
	install -d $(DESTDIR)$(SYSCONFDIR)/lodge $(DESTDIR)$(PREFIX)/lib/systemd/system \
	  $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(COMPLETIONS)
	[ -e $(DESTDIR)$(SYSCONFDIR)/lodge/lodged.conf ] || $(O)/lodged --help-config >$(DESTDIR)$(SYSCONFDIR)/lodge/lodged.conf
	sed 's,@PREFIX@,$(PREFIX),' tools/systemd/lodged.service.in >$(DESTDIR)$(PREFIX)/lib/systemd/system/lodged.service
	install -m 644 tools/systemd/lodged.socket tools/systemd/lodged-ro.socket $(DESTDIR)$(PREFIX)/lib/systemd/system
	$(O)/lodge help-man >$(DESTDIR)$(PREFIX)/share/man/man1/lodge.1
	$(O)/lodge-vm -help-man >$(DESTDIR)$(PREFIX)/share/man/man1/lodge-vm.1
	$(O)/lodged --help-man >$(DESTDIR)$(PREFIX)/share/man/man8/lodged.8
	$(O)/lodge completion >$(DESTDIR)$(COMPLETIONS)/lodge
	$(O)/lodge-vm -help-completion >$(DESTDIR)$(COMPLETIONS)/lodge-vm

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 18

clean: ## remove everything that was built
	rm -rf build build-san build-clang
