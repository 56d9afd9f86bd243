"""What ROM and MicroPython do before main.py: find out what board this is, mount the flash, run boot.py and main.py."""

import _thread
import gc
import sys

import _emulator as _e


def _prepare():
    from struct import unpack_from

    import uos
    import vfs

    try:
        import ffi

        ffi.open(None).func("i", "prctl", "iiiii")(1, 9, 0, 0, 0)  # die with the emulator, however it dies
    except (ImportError, OSError):
        pass
    hello = _e.boot()
    _, cause, blocks, rtc, skew = unpack_from("<BBIqq", hello)
    import time

    import esp32
    import machine

    machine._cause = cause
    machine._id = bytes(hello[22:28])
    esp32.Partition._blocks = blocks
    time._skew = skew
    time._set(rtc)
    if len(hello) > 28:
        import os

        os._seed(hello[28:])
    if not _e.free:
        sys.path.append(".frozen")
        import _ticks
    for name in ("network", "ntptime", "socket"):
        sys.modules[name] = _e.Later(name)
    flash = vfs.VfsLfs2(esp32.Partition())
    vfs.umount("/")
    vfs.mount(flash, "/")
    uos.chdir("/")
    sys.path[:] = ["", ".frozen", "/lib"]
    _e.tell(66)  # B


def _run(name):
    try:
        open(name).close()
    except OSError:
        return
    try:
        execfile(name)
    except SystemExit:
        import machine

        machine.soft_reset()
    except BaseException as e:
        sys.print_exception(e)


def _firmware():
    try:
        _run("boot.py")
        _run("main.py")
        while True:  # the REPL, to which nobody types
            _e.wait(_e.only, -1, (), 0, 0)
    finally:
        over.release()


_prepare()
del _prepare
gc.collect()
# An import takes 4 kB of this port's stack for a path, on boards 128 bytes; the main thread's 40 kB end too soon.
over = _thread.allocate_lock()
over.acquire()
_thread.stack_size(256 * 1024)
_thread.start_new_thread(_firmware, ())
over.acquire()
