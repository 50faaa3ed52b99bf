"""Numbers that are not finite: noticed on the device, told with student, epoch, step and rows."""
