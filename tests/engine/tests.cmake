slow(engine.sweep 40)
slow(engine.tiers 28)
slow(engine.scheduler 27)
slow(engine.verbs_oom 12)
long(engine.sweep engine.scheduler engine.tiers)
if(TARGET test_engine_store_disk) # its disk can be slow, or fail
  target_link_options(test_engine_store_disk PRIVATE LINKER:--wrap=pread)
endif()
