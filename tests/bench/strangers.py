#!/usr/bin/env python3
"""Strangers at the ports of a job: strangers.py COUNT PID

Keeps COUNT connections to every port on which the processes below PID listen. They say nothing;
one that is closed comes again a second later. Ends with PID, and then prints how many connections
were made, and the most that were held at a time.
"""
import os
import select
import socket
import sys
import time

AGAIN_S = 1.0
LOOK_S = 0.5


def children(pid):
    found = [pid]
    for parent in found:
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", encoding="ascii") as file:
                    found += [int(child) for child in file.read().split()]
        except OSError:
            pass
    return found[1:]


def sockets_of(pid):
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def ports_of(pids):
    """Ports on which these processes listen, of this network namespace."""
    own = set().union(*map(sockets_of, pids)) if pids else set()
    ports = set()
    with open("/proc/net/tcp", encoding="ascii") as file:
        for line in list(file)[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in own:
                ports.add(int(fields[1].split(":")[1], 16))
    return ports


class Crowd:
    def __init__(self, count):
        self.count = count
        self.waiting = []  # (time, port)
        self.held = {}  # fd: (socket, port)
        self.known = set()
        self.made = self.most = 0
        self.epoll = select.epoll()

    def arrive(self, port):
        stranger = socket.socket()
        stranger.setblocking(False)
        try:
            stranger.connect(("127.0.0.1", port))
        except BlockingIOError:
            pass
        except OSError:
            stranger.close()
            return
        self.held[stranger.fileno()] = (stranger, port)
        self.epoll.register(stranger, select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP)
        self.made += 1
        self.most = max(self.most, len(self.held))

    def look(self, pid):
        for port in ports_of(children(pid)) - self.known:
            self.known.add(port)
            for _ in range(self.count):
                self.arrive(port)

    def wait(self):
        for fd, _ in self.epoll.poll(LOOK_S):
            stranger, port = self.held.pop(fd)
            stranger.close()
            self.waiting.append((time.monotonic() + AGAIN_S, port))
        now = time.monotonic()
        due = [port for at, port in self.waiting if at <= now]
        self.waiting = [entry for entry in self.waiting if entry[0] > now]
        open_ports = ports_of(children(int(sys.argv[2]))) if due else set()
        for port in due:
            if port in open_ports:
                self.arrive(port)


def main():
    crowd, pid = Crowd(int(sys.argv[1])), int(sys.argv[2])
    looked = 0.0
    while os.path.exists(f"/proc/{pid}/exe"):
        if time.monotonic() - looked > LOOK_S:
            crowd.look(pid)
            looked = time.monotonic()
        crowd.wait()
        time.sleep(0.05)  # what closes together comes again together
    print(f"{crowd.made} connections to {len(crowd.known)} ports, {crowd.most} at a time")


if __name__ == "__main__":
    main()
