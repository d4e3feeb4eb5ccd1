# qmp.py - QMP as a client of QEMU speaks it: answers and events against the schema of real QEMU, errors, many clients
# SPDX-License-Identifier: GPL-2.0-or-later
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

from harness.lodge import Skip, require

PATIENCE = 60


class Client:
    """One connection; events are kept in the order in which they come."""

    def __init__(self, path, process):
        end = time.monotonic() + PATIENCE
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(path)
                break
            except OSError:
                self.socket.close()
                require(time.monotonic() < end and process.poll() is None, "nobody listens on " + path)
                time.sleep(0.05)
        self.socket.settimeout(PATIENCE)
        self.file = self.socket.makefile("rwb")
        self.events = []
        self.greeting = self.read()

    def read(self):
        line = self.file.readline()
        require(line, "the monitor closed the connection")
        return json.loads(line)

    def send(self, data):
        self.file.write(data)
        self.file.flush()

    def answer(self):
        while True:
            message = self.read()
            if "event" not in message:
                return message
            self.events.append(message)

    def ask(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = {k.replace("_", "-"): v for k, v in arguments.items()}
        self.send(json.dumps(request).encode())
        return self.answer()

    def ok(self, command, **arguments):
        reply = self.ask(command, **arguments)
        require("return" in reply, "%s was refused: %s" % (command, reply))
        return reply["return"]

    def event(self, name):
        while True:
            for i, e in enumerate(self.events):
                if e["event"] == name:
                    return self.events.pop(i)
            message = self.read()
            require("event" in message, "waited for %s, got %s" % (name, message))
            self.events.append(message)


class Machine:
    """A program with a QMP socket, negotiated."""

    def __init__(self, argv, clients=1):
        self.folder = tempfile.TemporaryDirectory(prefix="lodge-qmp-")
        paths = [os.path.join(self.folder.name, "qmp%d" % i) for i in range(clients)]
        argv = argv + [w for p in paths for w in ("-qmp", "unix:%s,server=on,wait=off" % p)]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        try:
            self.clients = [Client(p, self.process) for p in paths]
        except Exception:
            self.process.kill()
            raise
        self.client = self.clients[0]

    def negotiate(self):
        for c in self.clients:
            c.ok("qmp_capabilities")
        return self

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()

    def ended(self):
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            require(False, "the program does not end")


def guest(build, *more, clients=1, name="faults"):
    return Machine(build.machine("-m", "64", "-serial", "null", "-kernel",
                                 build.path("tests/guests/%s.elf" % name), *more), clients)


OURS = ("x-query-netdev-stats",)  # what QEMU has nothing like


class Schema:
    """QEMU's own description of its commands and events."""

    def __init__(self):
        if not shutil.which("qemu-system-x86_64"):
            raise Skip("qemu-system-x86_64 is not installed")
        with Machine(["qemu-system-x86_64", "-accel", "tcg", "-M", "none", "-display", "none", "-S"]) as q:
            q.negotiate()
            rows = q.client.ok("query-qmp-schema")
        self.types = {r["name"]: r for r in rows if r["meta-type"] not in ("command", "event")}
        self.commands = {r["name"]: r for r in rows if r["meta-type"] == "command"}
        self.events = {r["name"]: r for r in rows if r["meta-type"] == "event"}

    def check(self, value, name, where):
        t = self.types[name]
        meta = t["meta-type"]
        if meta == "builtin":
            kinds = {"string": str, "int": int, "number": (int, float), "boolean": bool, "value": object,
                     "object": dict, "array": list, "null": type(None)}
            good = isinstance(value, kinds[t["json-type"]])
            require(good and not (t["json-type"] == "int" and isinstance(value, bool)), "%s: %r is no %s"
                    % (where, value, t["json-type"]))
        elif meta == "enum":
            require(value in t["values"], "%s: %r is none of %s" % (where, value, t["values"]))
        elif meta == "array":
            require(isinstance(value, list), "%s: %r is no list" % (where, value))
            for i, v in enumerate(value):
                self.check(v, t["element-type"], "%s[%d]" % (where, i))
        elif meta == "object":
            self.check_object(value, t, where)
        elif meta == "alternate":
            def fits(member):
                try:
                    self.check(value, member["type"], where)
                    return True
                except Exception:
                    return False
            require(any(fits(m) for m in t["members"]), "%s: %r fits none of %s" % (where, value, t["members"]))

    def check_object(self, value, t, where):
        require(isinstance(value, dict), "%s: %r is no object" % (where, value))
        members = {m["name"]: m for m in t["members"]}
        for v in t.get("variants", []):
            if value.get(t["tag"]) == v["case"]:
                members.update({m["name"]: m for m in self.types[v["type"]]["members"]})
        for name, m in members.items():
            require(name in value or "default" in m, "%s: '%s' is missing in %s" % (where, name, value))
        for name, v in value.items():
            require(name in members, "%s: QEMU knows no member '%s'" % (where, name))
            self.check(v, members[name]["type"], "%s.%s" % (where, name))


# of the queries that want some
ARGUMENTS = {"query-cpu-model-expansion": {"type": "full", "model": {"name": "host", "props": {"avx": False}}}}


def answers_fit_the_schema(build):
    schema = Schema()
    with guest(build, "-S", "-name", "n1", "-smp", "2", "-chardev", "null,id=c0", "-device",
               "virtio-balloon-pci,id=b0", "-device", "virtio-rng-pci") as m:
        schema.check(m.client.greeting["QMP"]["version"], schema.commands["query-version"]["ret-type"], "greeting")
        m.negotiate()
        names = [c["name"] for c in m.client.ok("query-commands")]
        require(len(names) > 20 and len(set(names)) == len(names), "query-commands gave %s" % names)
        asked = 0
        for name in names:
            if name in OURS:
                continue
            require(name in schema.commands, "QEMU has no command " + name)
            if name.startswith("query-"):
                schema.check(m.client.ok(name, **ARGUMENTS.get(name, {})), schema.commands[name]["ret-type"], name)
                asked += 1
        require(asked >= 10, "only %d queries" % asked)
        require(len(m.client.ok("query-cpus-fast")) == 2, "query-cpus-fast does not give two processors")
        require(m.client.ok("query-name") == {"name": "n1"}, "query-name")
        for command in ("cont", "stop", "system_powerdown", "system_reset"):
            m.client.ok(command)
        m.client.event("RESET")
        m.client.ok("quit")
        m.client.event("SHUTDOWN")
        require(m.ended() == 0, "quit gave a bad status")


def own_schema(build):
    """query-qmp-schema tells the arguments and the data that QEMU's has, all commands, and the events."""
    theirs = Schema()
    with guest(build, "-S") as m:
        m.negotiate()
        ours = {e["name"]: e for e in m.client.ok("query-qmp-schema")}
        events = [e for e in ours.values() if e["meta-type"] == "event"]
        require(len(events) >= 12 and all(e["name"] in theirs.events for e in events), "other events")
        commands = [e for e in ours.values() if e["meta-type"] == "command"]
        require({e["name"] for e in commands} == {c["name"] for c in m.client.ok("query-commands")}, "other commands")
        require(all(e["ret-type"] in ours for e in commands), "a ret-type is nowhere")
        for e in commands + events:
            if e["name"] in OURS:
                continue
            event = e["meta-type"] == "event"
            known = theirs.types[(theirs.events if event else theirs.commands)[e["name"]]["arg-type"]]["members"]
            known = {t["name"]: t for t in known}
            for member in ours[e["arg-type"]]["members"]:
                where = "%s: %s" % (e["name"], member["name"])
                require(member["name"] in known, where + " is no argument of QEMU's")
                given, taken = (known[member["name"]], member) if event else (member, known[member["name"]])
                require("default" in given or "default" not in taken, where + " may be left out of one and not the other")
                kind = theirs.types[known[member["name"]]["type"]]
                is_name = kind["meta-type"] == "enum" and member["type"] == "str"
                require(member["type"] == "any" or member["type"] == kind["name"] or is_name,
                        "%s is %s and not %s" % (where, kind["name"], member["type"]))
        m.client.ok("quit")
        require(m.ended() == 0, "quit gave a bad status")


def states(build):
    """stop really stops: nothing of the guest's time passes."""
    with guest(build, "-S") as m:
        c = m.negotiate().client
        require(c.ok("query-status") == {"status": "prelaunch", "singlestep": False, "running": False}, "prelaunch")
        c.ok("stop")
        require(c.ok("query-status")["status"] == "prelaunch" and not c.events, "stop of what is stopped")
        c.ok("cont")
        c.event("RESUME")
        event = c.event("SHUTDOWN")
        require(event["data"] == {"guest": True, "reason": "guest-shutdown"}, "SHUTDOWN says %s" % event)
        require(m.ended() == 0, "bad status")


def paused(build):
    with Machine(build.machine("-m", "256", "-serial", "null", "-kernel", build.kernel(), "-append", "quiet")) as m:
        c = m.negotiate().client
        for _ in range(20):
            c.ok("stop")
            c.event("STOP")
            require(c.ok("query-status")["status"] == "paused", "not paused")
            first = c.ok("human-monitor-command", command_line="info registers")
            time.sleep(0.02)
            require(c.ok("human-monitor-command", command_line="info registers") == first, "a stopped guest went on")
            require("rip=" in first, "no registers: " + first)
            c.ok("cont")
            c.event("RESUME")
            require(c.ok("query-status") == {"status": "running", "singlestep": False, "running": True}, "not running")
        c.ok("system_reset")
        require(c.event("RESET")["data"] == {"guest": False, "reason": "host-qmp-system-reset"}, "RESET's payload")
        c.ok("quit")


def no_shutdown(build):
    with guest(build, "-S", "-no-shutdown") as m:
        c = m.negotiate().client
        c.ok("cont")
        c.event("SHUTDOWN")
        c.event("STOP")
        require(c.ok("query-status")["status"] == "shutdown", "not in state shutdown")
        require(c.ask("cont")["error"]["desc"].startswith("Resetting"), "cont after shutdown")
        c.ok("system_reset")
        c.event("RESET")
        require(c.ok("query-status")["status"] == "paused", "not paused after the reset")


# what is sent, and the class and the beginning of the text of QEMU's error
ERRORS = [
    (b'{"execute": "frob"}', "CommandNotFound", "The command frob has not been found"),
    (b'{"execute": "qmp_capabilities"}', "CommandNotFound", "Capabilities negotiation is already complete"),
    (b'{"execute": "stop", "arguments": {"a": 1}}', "GenericError", "Parameter 'a' is unexpected"),
    (b'{"execute": "device_del"}', "GenericError", "Parameter 'id' is missing"),
    (b'{"execute": "device_del", "arguments": {"id": 1}}', "GenericError", "Invalid parameter type for 'id', expected: string"),
    (b'{"execute": "device_del", "arguments": {"id": "x"}}', "DeviceNotFound", "Device 'x' not found"),
    (b'{"execute": "netdev_del", "arguments": {"id": "x"}}', "DeviceNotFound", "Device 'x' not found"),
    (b'{"execute": 1}', "GenericError", "QMP input member 'execute' must be a string"),
    (b'{"execute": "stop", "arguments": []}', "GenericError", "QMP input member 'arguments' must be an object"),
    (b'{"arguments": {}}', "GenericError", "QMP input lacks member 'execute'"),
    (b'{"execute": "stop", "extra": 1}', "GenericError", "QMP input member 'extra' is unexpected"),
    (b'[]', "GenericError", "QMP input must be a JSON object"),
    (b'{"execute" "stop"}', "GenericError", "JSON parse error"),
    (b'{"execute": "device_add", "arguments": {"driver": "nonesuch"}}', "GenericError", ""),
    (b'{"execute": "getfd", "arguments": {"fdname": "x"}}', "GenericError", "No file descriptor supplied via SCM_RIGHTS"),
]


def errors(build):
    with guest(build, "-S") as m:
        c = m.client
        early = c.ask("query-status")["error"]
        require(early["class"] == "CommandNotFound" and early["desc"].startswith("Expecting capabilities"), early)
        m.negotiate()
        for data, kind, text in ERRORS:
            c.send(data)
            error = c.answer().get("error", {})
            require(error.get("class") == kind and error.get("desc", "").startswith(text), "%s gave %s" % (data, error))
        require(c.ask("query-status").get("return"), "no answer after errors")
        c.send(b'{"execute": "query-name", "id": {"a": [1, "x"]}}')
        require(c.answer() == {"return": {}, "id": {"a": [1, "x"]}}, "the id does not come back")
        c.send(b'{"execute": "que\xff{"execute": "query-name"}{"execute":\n"query-uuid"}')
        require(c.answer() == {"return": {}} and "UUID" in c.answer()["return"], "after a reset of the parser")


def hostile(build):
    """Deep, endless and broken input: an error, or the end of that connection; the others do not notice."""
    with guest(build, "-S", clients=3) as m:
        m.negotiate()
        bad, good, _ = m.clients
        bad.send(b"[" * 1000 + b"\n")
        require("error" in bad.answer(), "deep nesting")
        bad.socket.close()
        for _ in range(20):
            require(good.ok("query-status")["status"] == "prelaunch", "the other client is served")
        m.clients[2].socket.sendall(b'{"execute": "' + b"x" * (3 << 20))
        require("error" in m.clients[2].answer(), "a string without an end")
        good.ok("cont")
        good.event("SHUTDOWN")


def several(build):
    with guest(build, "-S", clients=4) as m:
        m.negotiate()
        m.clients[2].ok("cont")
        for c in m.clients:
            c.event("RESUME")
            c.event("SHUTDOWN")


def dump(build):
    """A core file as QEMU writes it: of all memory, or a part; the guest stands meanwhile, and then does as before."""
    with Machine(build.machine("-m", "256", "-serial", "null", "-kernel", build.kernel(), "-append", "quiet")) as m:
        c, path = m.negotiate().client, m.folder.name + "/core"
        require(c.ok("query-dump") == {"status": "none", "completed": 0, "total": 0}, "query-dump before")
        c.ok("dump-guest-memory", paging=False, protocol="file:" + path)
        c.event("STOP")
        event = c.event("DUMP_COMPLETED")["data"]["result"]
        c.event("RESUME")
        require(event == {"status": "completed", "completed": 256 << 20, "total": 256 << 20} == c.ok("query-dump"), event)
        first = os.stat(path)
        require(first.st_size - (256 << 20) in range(4097) and first.st_blocks * 512 < 200 << 20, "its size, or zeros that are written")
        c.ok("stop")
        c.event("STOP")
        c.ok("dump-guest-memory", paging=False, protocol="file:" + path, begin=0x100000, length=0x2000, detach=True)
        require(c.event("DUMP_COMPLETED")["data"]["result"]["total"] == 0x2000 and os.path.getsize(path) == 0x3000, "a part")
        require(c.ok("query-status")["status"] == "paused", "a stopped guest goes on after a dump")
        c.ok("cont")
        c.ok("dump-guest-memory", paging=False, protocol="file:/dev/full", detach=True)
        event = c.event("DUMP_COMPLETED")["data"]
        require(event["result"]["status"] == "failed" and "No space left" in event["error"], event)
        require(c.ok("query-status")["running"], "after a dump that failed")
        for words, why in ((dict(protocol="file:/no/such"), "No such file"), (dict(protocol="fd:x"), "has not been found"), (dict(protocol="x"), "expects"),
                           (dict(protocol="fd:x", begin=0), "together"), (dict(protocol="file:/dev/null", begin=1 << 40, length=1), "'begin'"),
                           (dict(protocol="file:/dev/null", format="kdump-lzo"), "not available"), (dict(protocol="file:/dev/null", format="x"), "does not accept")):
            require(why in c.ask("dump-guest-memory", paging=False, **words)["error"]["desc"], str(words))
        require(c.ok("query-status")["running"], "after refused dumps")
        c.ok("quit")


def processors(build):
    """They come in order, and what is wrong with a request is said; without a guest that listens, none goes."""
    with guest(build, "-S", "-smp", "1,maxcpus=3,sockets=1,cores=3") as m:
        c = m.negotiate().client
        slots = c.ok("query-hotpluggable-cpus")
        require(["qom-path" in s for s in slots] == [False, False, True] and [s["props"]["core-id"] for s in slots] == [2, 1, 0], slots)

        def refused(why, **words):
            error = c.ask("device_add", driver=slots[0]["type"], **words)["error"]["desc"]
            require(why in error, "%s: %s" % (words, error))

        refused("come in order", id="c", core_id=2)
        refused("no property 'x'", id="c", x=1)
        c.ok("device_add", driver=slots[1]["type"], id="c1", **slots[1]["props"])
        refused("come in order", id="c", core_id=1)
        c.ok("device_add", driver=slots[0]["type"], id="c2", **slots[0]["props"])
        refused("all 3 processors are there", id="c3")
        paths = [p["qom-path"] for p in c.ok("query-cpus-fast")]
        require(paths == ["/machine/unattached/device[0]", "/machine/peripheral/c1", "/machine/peripheral/c2"], paths)
        require({"name": "c2", "type": "child<host-x86_64-cpu>"} in c.ok("qom-list", path="/machine/peripheral"), "qom-list")
        require("go in order" in c.ask("device_del", id="c1")["error"]["desc"], "the one in the middle")
        require(c.ask("device_del", id="c3")["error"]["class"] == "DeviceNotFound", "one that is not there")
        c.ok("device_del", id="c2")
        require("already in the process" in c.ask("device_del", id="c2")["error"]["desc"], "asked twice")
        c.ok("system_reset")
        c.event("RESET")
        c.ok("device_del", id="c2")
        require(len(c.ok("query-cpus-fast")) == 3, "it has gone by itself")
        c.ok("cont")
        c.event("SHUTDOWN")


def tests(build):
    return [("qmp-" + f.__name__.replace("_", "-"), lambda f=f: f(build))
            for f in (answers_fit_the_schema, own_schema, states, paused, no_shutdown, errors, hostile, several, dump, processors)]
