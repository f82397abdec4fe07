"""The shortcut audit: does the bundle look at lungs, or recognise the hospital?"""
