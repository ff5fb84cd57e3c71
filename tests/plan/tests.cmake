slow(plan.partition 13)
slow(plan.options 10)
slow(plan.speed 6)
long(plan.partition plan.speed)
