slow(backend.cpu_attend 21)
slow(backend.cpu_matmul 6)
long(backend.cpu_attend)
