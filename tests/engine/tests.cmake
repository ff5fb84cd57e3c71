slow(engine.sweep 40)
slow(engine.tiers 62)
slow(engine.scheduler 27)
slow(engine.verbs_oom 50)
long(engine.sweep engine.scheduler engine.tiers)
# All families in all ways: beside other work and under ThreadSanitizer it took 11 minutes.
if(TEST engine.same_bits)
  set_tests_properties(engine.same_bits PROPERTIES COST 60 TIMEOUT 1800)
endif()
foreach(name store_disk store_experts) # their disks can be slow, or fail
  if(TARGET test_engine_${name})
    target_link_options(test_engine_${name} PRIVATE LINKER:--wrap=pread)
  endif()
endforeach()
