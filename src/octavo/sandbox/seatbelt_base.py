"""What every Seatbelt profile of ours says besides the rules: text and tables.

Pure data. Each entry is there because ordinary programs fail without it; what they do not need is
denied by default.
"""

from typing import Final

BASE: Final = """\
; A process may start others and look after those of its own sandbox.
(allow process-fork)
(allow signal process-info* (target same-sandbox))

; Devices without contents of their own, and terminals.
(allow file-read* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/random")
  (literal "/dev/urandom") (literal "/dev/tty") (literal "/dev/dtracehelper") (subpath "/dev/fd"))
(allow file-write-data (require-all (vnode-type CHARACTER-DEVICE)
  (require-any (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))))
(allow file-ioctl (literal "/dev/dtracehelper") (literal "/dev/tty") (regex #"^/dev/ttys[0-9]+$"))
(allow pseudo-tty)
(allow file-read* file-write* file-ioctl (literal "/dev/ptmx"))
(allow file-read* file-write*
  (require-all (regex #"^/dev/ttys[0-9]+$") (extension "com.apple.sandbox.pty")))

; What the system and the machine are.
(allow sysctl-read (sysctl-name-prefix "hw.") (sysctl-name-prefix "machdep.cpu.")
  (sysctl-name-prefix "kern.os") (sysctl-name-prefix "kern.proc.pid.")
  (sysctl-name-prefix "kern.proc.pgrp.") (sysctl-name-prefix "net.routetable.")
  (sysctl-name "kern.argmax") (sysctl-name "kern.boottime")
  (sysctl-name "kern.hostname") (sysctl-name "kern.iossupportversion")
  (sysctl-name "kern.maxfilesperproc") (sysctl-name "kern.maxproc") (sysctl-name "kern.ngroups")
  (sysctl-name "kern.secure_kernel") (sysctl-name "kern.usrstack64") (sysctl-name "kern.version")
  (sysctl-name "sysctl.proc_cputype") (sysctl-name "vm.loadavg") (sysctl-name "vm.pagesize"))
(allow sysctl-write (sysctl-name "kern.grade_cputype"))

; Names of users and groups, preferences, the state of the battery.
(allow mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo")
  (global-name "com.apple.cfprefsd.daemon") (global-name "com.apple.cfprefsd.agent")
  (local-name "com.apple.cfprefsd.agent") (global-name "com.apple.PowerManagement.control"))
(allow user-preference-read)
(allow ipc-posix-shm-read* (ipc-posix-name-prefix "apple.cfprefs."))
(allow iokit-open (iokit-registry-entry-class "RootDomainUserClient"))

; Memory shared between the command's own processes.
(allow ipc-posix-sem)
(allow ipc-posix-shm-read-data ipc-posix-shm-write-create ipc-posix-shm-write-unlink
  (ipc-posix-name-regex #"^/?__KMP_REGISTERED_LIB_[0-9_]+$"))
"""

# Services inside application bundles are open unless denied.
BUNDLED_SERVICES: Final = '(xpc-service-name-prefix "")'

# F_MAKECOMPRESSED and F_TRANSFEREXTENTS change files without a write.
CONTENT_CHANGES: Final = "(fcntl-command 80 110)"

MINIMAL: Final = """\
; Every program looks at the root folder; logging, notifications, certificates, audio.
(allow file-read* file-test-existence (literal "/"))
(allow mach-lookup (global-name "com.apple.system.logger") (global-name "com.apple.logd")
  (global-name "com.apple.system.notification_center") (global-name "com.apple.trustd.agent")
  (global-name "com.apple.audio.AudioComponentRegistrar"))
(allow ipc-posix-shm-read* (ipc-posix-name "apple.shm.notification_center"))
"""

NETWORK_ON: Final = """\
; The network, with names and certificates; sockets in the file system stay closed.
(allow network-outbound (remote ip "*:*") (literal "/private/var/run/mDNSResponder"))
(allow network-inbound network-bind (local ip "*:*"))
(allow system-socket)
(allow mach-lookup (global-name "com.apple.SecurityServer") (global-name "com.apple.networkd")
  (global-name "com.apple.ocspd") (global-name "com.apple.trustd.agent")
  (global-name "com.apple.SystemConfiguration.DNSConfiguration")
  (global-name "com.apple.SystemConfiguration.configd") (global-name "com.apple.bsd.dirhelper")
  (global-name "com.apple.system.opendirectoryd.membership"))
"""

LOOPBACK: Final = """\
; The machine's own loopback.
(allow network-outbound (remote ip "localhost:*"))
(allow network-inbound network-bind (local ip "localhost:*"))
"""

_PROGRAMS: Final = ("bin", "lib", "libexec", "sbin", "share")
_BREWED: Final = (*_PROGRAMS, "opt", "Cellar", "Frameworks", "etc/ca-certificates", "etc/openssl@3")
MINIMAL_READS: Final = (
    "/bin",
    "/sbin",
    *(f"/usr/{name}" for name in _PROGRAMS),
    *(f"/usr/local/{name}" for name in _BREWED),
    *(f"/opt/homebrew/{name}" for name in _BREWED),
    "/Library/Apple/System",
    "/Library/Developer/CommandLineTools",
    "/Library/Frameworks",
    "/System/Cryptexes",
    "/System/Library",
    "/System/Volumes/Preboot/Cryptexes",
    "/private/etc",
    "/private/var/db/dyld",
    "/private/var/db/timezone",
    "/private/var/select",
)
"""What `:minimal` opens: programs, libraries and their data, no temporary or home folder."""
MINIMAL_LINKS: Final = ("/etc", "/tmp", "/var")  # noqa: S108 - the links of a macOS root
