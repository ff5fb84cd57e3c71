slow(jobs.results 6)
