"""Misses of libCacheSim: a trace of `key,size` lines on stdin, an algorithm and a size in bytes as arguments."""

import sys

import libcachesim

algorithm, cache_bytes = sys.argv[1:]
cache = {"lru": libcachesim.LRU, "fifo": libcachesim.FIFO}[algorithm](int(cache_bytes))
request = libcachesim.Request()
misses = 0
for line in sys.stdin:
    key, size = line.split(",")
    request.obj_id, request.obj_size = int(key), int(size)
    misses += not cache.get(request)
print(misses)
