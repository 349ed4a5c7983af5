return render(page)
    raise Forbidden(user)
    raise Forbidden(user)
log.info('todo list loaded')
return render(page)
connect(host, port)
    raise Forbidden(user)
total = total + line.amount
return render(page)
if not user.active:
    raise Forbidden(user)
connect(host, port)
if not user.active:
if not user.active:
return render(page)
    raise Forbidden(user)
items.sort(key=price)
close()
if not user.active:
total = total + line.amount
connect(host, port)
    raise Forbidden(user)
