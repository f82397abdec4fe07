"""ASGI middleware that every request passes; stack.py has the order."""
