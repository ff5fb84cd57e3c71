slow(backend.cpu_attend 21)
slow(backend.cpu_matmul 80)
long(backend.cpu_attend backend.cpu_matmul)
