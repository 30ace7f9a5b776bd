"""What a run costs against its number of cameras, on simulated links and on real ones.

``scene`` makes the scenario, ``sampling`` tells for what the processor's time goes, ``running`` measures one
number of cameras in a process of its own, ``results`` has tables, the picture and the sentence, ``command``
puts it together.
"""
