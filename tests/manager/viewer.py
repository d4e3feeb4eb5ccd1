# viewer.py - what a program like virt-manager does with a connection; run by the test, with a URI and a domain's document
# SPDX-License-Identifier: GPL-2.0-or-later
import sys
import threading
import time

import libvirt

want = {(0, 0), (2, 0), (3, 0), (4, 0), (5, 1), (1, 0)}  # defined, started, suspended, resumed, stopped, undefined
seen = {}


def note(name):
    return lambda *args: seen.setdefault(name, []).append(args)


def run_loop():
    while True:
        libvirt.virEventRunDefaultImpl()


def kinds():
    return {(args[2], args[3]) for args in seen.get("LIFECYCLE", [])}


def fails(code, call, *args):
    try:
        call(*args)
    except libvirt.libvirtError as e:
        assert e.get_error_code() == code, (call, e.get_error_code(), e)
        return
    raise AssertionError("%s does not fail" % call)


libvirt.virEventRegisterDefaultImpl()
threading.Thread(target=run_loop, daemon=True).start()
libvirt.registerErrorHandler(lambda *args: None, None)
c = libvirt.open(sys.argv[1])
c.setKeepAlive(1, 3)
prefix = "VIR_DOMAIN_EVENT_ID_"
names = [n[len(prefix):] for n in dir(libvirt) if n.startswith(prefix)]
callbacks = [c.domainEventRegisterAny(None, getattr(libvirt, prefix + n), note(n), None) for n in names]
c.networkEventRegisterAny(None, libvirt.VIR_NETWORK_EVENT_ID_LIFECYCLE, note("network"), None)
c.storagePoolEventRegisterAny(None, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH, note("pool"), None)
c.nodeDeviceEventRegisterAny(None, libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, note("device"), None)
c.secretEventRegisterAny(None, libvirt.VIR_SECRET_EVENT_ID_LIFECYCLE, note("secret"), None)
c.registerCloseCallback(lambda *args: None, None)
for name in ("Domains", "Networks", "StoragePools", "Interfaces", "Devices", "NWFilters", "Secrets"):
    getattr(c, "listAll" + name)()
c.getCapabilities(), c.getDomainCapabilities(None, "x86_64", "q35", "qemu", 0), c.getInfo(), c.getHostname(), c.getURI()
c.getCPUStats(-1, 0), c.getMemoryStats(-1, 0), c.getLibVersion()
with open(sys.argv[2]) as file:
    d = c.defineXML(file.read())
d.create()
for _ in range(3):
    d.info(), d.state(), d.memoryStats(), d.isUpdated(), d.hasManagedSaveImage(0), d.autostart(), d.jobInfo()
    d.XMLDesc(0), d.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE), d.blockStats("vda"), d.blockInfo("vda")
    d.listAllSnapshots(), d.hasCurrentSnapshot(), d.vcpus(), d.vcpuPinInfo(), d.emulatorPinInfo(), c.getAllDomainStats(0, 0)
fails(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, d.snapshotCreateXML, "<domainsnapshot/>")
fails(libvirt.VIR_ERR_NO_SUPPORT, d.screenshot, c.newStream(), 0)
fails(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, d.fsInfo)
fails(libvirt.VIR_ERR_NO_DOMAIN, c.lookupByName, "nobody")
fails(libvirt.VIR_ERR_NO_SECRET, c.secretLookupByUUIDString, "01020304-0506-0708-090a-0b0c0d0e0f10")
d.suspend(), d.resume(), d.reset()
d.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, "t", None, None, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
stream = c.newStream(libvirt.VIR_STREAM_NONBLOCK)
d.openConsole(None, stream, 0)
stream.abort()
time.sleep(3)  # of three pings, none is answered late
assert c.isAlive() == 1
d.destroy(), d.undefine()
end = time.monotonic() + 60
while not (want <= kinds() and "METADATA_CHANGE" in seen) and time.monotonic() < end:
    time.sleep(0.05)
assert want <= kinds() and "METADATA_CHANGE" in seen and "REBOOT" in seen, seen
for callback in callbacks:
    c.domainEventDeregisterAny(callback)
c.close()
print("good")
